# SPDX-License-Identifier: MIT
# vitrine_add_library(NAME SOURCES... [PUBLIC targets...] [PRIVATE targets...]): a folder's static library.
# Private dependencies that are headers and nothing else leave no trace in a program, so the installed package does without.
# Warnings, sanitizers and include paths are the same for every target and stand only here.

add_library(vitrine_options INTERFACE)
target_compile_options(vitrine_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor>)
# Clang calls an array of arrays without inner braces an error of style; the braces would triple the tables.
target_compile_options(vitrine_options INTERFACE $<$<COMPILE_LANG_AND_ID:CXX,Clang>:-Wno-missing-braces>)
if(VITRINE_SANITIZE)
  target_compile_options(vitrine_options INTERFACE -fsanitize=${VITRINE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(vitrine_options INTERFACE -fsanitize=${VITRINE_SANITIZE})
  # GCC's names for what Clang tells by __has_feature; the sources know these alone.
  foreach(sanitizer ADDRESS THREAD)
    string(TOLOWER ${sanitizer} lower)
    if(VITRINE_SANITIZE MATCHES ${lower})
      target_compile_definitions(vitrine_options INTERFACE $<$<CXX_COMPILER_ID:Clang>:__SANITIZE_${sanitizer}__>)
    endif()
  endforeach()
  # GCC reports std::regex as uninitialised under its own address sanitizer (its bug 105562).
  target_compile_options(vitrine_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endif()

function(vitrine_add_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  string(REPLACE "vitrine_" "" short ${name})
  set_target_properties(${name} PROPERTIES EXPORT_NAME ${short})
  target_include_directories(${name}
    PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>
    PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_features(${name} PUBLIC cxx_std_20)
  list(TRANSFORM ARG_PRIVATE REPLACE "^(nlohmann_json::nlohmann_json|CLI11::CLI11|Eigen3::Eigen|Boost::headers|xxHash::headers)$" "$<BUILD_INTERFACE:\\1>")
  target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:vitrine_options>)
  set_property(GLOBAL APPEND PROPERTY VITRINE_LIBRARIES ${name})
endfunction()

function(vitrine_add_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${name} PRIVATE ${ARG_LINK} vitrine_options)
endfunction()

# vitrine_folder(TARGET): the folder's .cc files belong to the target.
function(vitrine_folder target)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  target_sources(${target} PRIVATE ${sources})
endfunction()

# vitrine_unity(TARGETS...): compiles the targets' files several at once, with VITRINE_UNITY, because reading what each includes
# costs more than the file. Names of a target's unnamed namespaces must differ. The thread sanitizer's step of scripts/test.sh compiles file by
# file, which shows includes that are missing.
function(vitrine_unity)
  if(NOT VITRINE_UNITY)
    return()
  endif()
  foreach(target ${ARGN})
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON)
    # GCC takes a file that another one includes for a header, in which a class must not hold what only that file knows.
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-subobject-linkage>)
  endforeach()
endfunction()
