# SPDX-License-Identifier: MIT
# The CMakeLists.txt of the installed examples: a project of its own, as a program that uses Vitrine has.
cmake_minimum_required(VERSION 3.25)
project(vitrine_examples LANGUAGES CXX)
find_package(vitrine CONFIG REQUIRED COMPONENTS analysis)
foreach(name logit_lens ablate_heads steer)
  add_executable(${name} ${name}.cc)
  target_link_libraries(${name} PRIVATE vitrine::analysis)
endforeach()
