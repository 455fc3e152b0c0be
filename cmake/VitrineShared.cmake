# SPDX-License-Identifier: MIT
# The shared libraries: libvitrine, with everything up to the analyses, and libvitrine_report, with pages and figures. They are linked
# from the objects of the folders' static libraries, which are position-independent. The programs of this tree link the static ones.

# vitrine_add_shared(NAME EXPORT name OUTPUT name FOLDERS targets... [PUBLIC targets...] [PRIVATE targets...])
function(vitrine_add_shared name)
  cmake_parse_arguments(ARG "" "EXPORT;OUTPUT" "FOLDERS;PUBLIC;PRIVATE" ${ARGN})
  list(TRANSFORM ARG_FOLDERS REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>")
  add_library(${name} SHARED ${ARG_FOLDERS})
  set(map ${PROJECT_SOURCE_DIR}/cmake/vitrine.map)
  set_target_properties(${name} PROPERTIES
    EXPORT_NAME ${ARG_EXPORT} OUTPUT_NAME ${ARG_OUTPUT} LINKER_LANGUAGE CXX LINK_DEPENDS ${map} INSTALL_RPATH "$ORIGIN"
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  target_include_directories(${name} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(${name} INTERFACE cxx_std_20)
  target_link_options(${name} PRIVATE -Wl,--version-script=${map})
  if(NOT VITRINE_SANITIZE) # whose own symbols are the program's
    target_link_options(${name} PRIVATE -Wl,--no-undefined)
  endif()
  target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:vitrine_options>)
  # tests/install links a program with them in every build.
  if(NOT BUILD_SHARED_LIBS AND NOT VITRINE_BUILD_TESTS)
    set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  endif()
endfunction()

set(folders vitrine_base vitrine_tokenizer vitrine_kernels vitrine_hooks vitrine_engine vitrine_analysis)
set(needed fmt::fmt hwy::hwy PCRE2::PCRE2 utf8proc::utf8proc Threads::Threads ${CMAKE_DL_LIBS})
if(VITRINE_SENTENCEPIECE)
  list(APPEND needed SentencePiece::SentencePiece)
endif()
if(VITRINE_HAS_CUDA)
  list(APPEND folders vitrine_cuda_objects)
  list(APPEND needed CUDA::cudart_static)
endif()
vitrine_add_shared(vitrine_shared_analysis EXPORT analysis OUTPUT vitrine FOLDERS ${folders} PRIVATE ${needed})
set(needed fmt::fmt)
if(VITRINE_CAIRO)
  list(APPEND needed Cairo::Cairo)
endif()
vitrine_add_shared(vitrine_shared_report EXPORT report OUTPUT vitrine_report FOLDERS vitrine_report
  PUBLIC vitrine_shared_analysis PRIVATE ${needed})
add_library(vitrine_shared INTERFACE)
set_target_properties(vitrine_shared PROPERTIES EXPORT_NAME vitrine)
target_link_libraries(vitrine_shared INTERFACE vitrine_shared_report)
