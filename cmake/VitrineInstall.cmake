# SPDX-License-Identifier: MIT
# Installs the library as the CMake package `vitrine` (targets vitrine::vitrine, vitrine::analysis, vitrine::report) and as pkg-config's
# `vitrine` and `vitrine-report`, its headers, the command, the bundled model, the documents and the examples. Nothing that is installed
# names the source or the build folder.
include(CMakePackageConfigHelpers)

set(vitrine_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/vitrine)
set(vitrine_data_dir ${CMAKE_INSTALL_DATADIR}/vitrine)
get_property(vitrine_libraries GLOBAL PROPERTY VITRINE_LIBRARIES)

# The packages that a program needs to link the static libraries, as CMake and pkg-config call them. The shared ones bring their own.
set(static_cmake "fmt" "Threads" "HWY" "PCRE2" "utf8proc")
set(static_pkgconfig fmt libhwy libpcre2-8 libutf8proc)
set(static_libs "-pthread" "-ldl")
if(VITRINE_SENTENCEPIECE)
  list(APPEND static_cmake "SentencePiece")
  list(APPEND static_pkgconfig sentencepiece)
endif()
if(VITRINE_HAS_CUDA)
  list(APPEND static_cmake "CUDAToolkit")
  list(APPEND static_libs "-L${CUDAToolkit_LIBRARY_DIR}" -lcudart_static -lrt -ldl -lpthread)
endif()
set(static_report_cmake "")
set(static_report_pkgconfig "")
if(VITRINE_CAIRO)
  set(static_report_cmake "Cairo")
  set(static_report_pkgconfig cairo)
endif()

# As lines of vitrineConfig.cmake.
function(vitrine_find_lines packages to)
  set(lines "")
  foreach(package IN LISTS packages)
    string(APPEND lines "find_dependency(${package})\n")
  endforeach()
  set(${to} "${lines}" PARENT_SCOPE)
endfunction()

# vitrine_install_package(KIND TARGETS targets... LIBS flags... REPORT_LIBS flags...): the libraries of one kind, static or shared, with
# the files by which programs find them. The kind that BUILD_SHARED_LIBS does not name is the component vitrine_KIND of the install.
function(vitrine_install_package kind)
  cmake_parse_arguments(ARG "" "" "TARGETS;LIBS;REPORT_LIBS" ${ARGN})
  set(how COMPONENT vitrine_${kind})
  if((kind STREQUAL "shared" AND NOT BUILD_SHARED_LIBS) OR (kind STREQUAL "static" AND BUILD_SHARED_LIBS))
    list(APPEND how EXCLUDE_FROM_ALL)
  endif()
  set(made ${PROJECT_BINARY_DIR}/install/${kind})
  set(dependencies "")
  if(kind STREQUAL "shared")
    set(dependencies RUNTIME_DEPENDENCY_SET vitrine_dependencies)
  endif()
  install(TARGETS ${ARG_TARGETS} EXPORT vitrine_${kind} ${dependencies}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} ${how}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ${how})
  install(EXPORT vitrine_${kind} FILE vitrine_${kind}.cmake NAMESPACE vitrine:: DESTINATION ${vitrine_package_dir} ${how})

  vitrine_find_lines("${${kind}_cmake}" VITRINE_FIND)
  vitrine_find_lines("${${kind}_report_cmake}" VITRINE_FIND_REPORT)
  configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/vitrineConfig.cmake.in ${made}/vitrineConfig.cmake
    INSTALL_DESTINATION ${vitrine_package_dir} PATH_VARS vitrine_data_dir)
  write_basic_package_version_file(${made}/vitrineConfigVersion.cmake COMPATIBILITY SameMinorVersion)
  set(found ${made}/vitrineConfig.cmake ${made}/vitrineConfigVersion.cmake)
  if(kind STREQUAL "static")
    foreach(package Cairo PCRE2 SentencePiece utf8proc)
      list(APPEND found ${PROJECT_SOURCE_DIR}/cmake/Find${package}.cmake)
    endforeach()
  endif()
  install(FILES ${found} DESTINATION ${vitrine_package_dir} ${how})

  set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
  file(RELATIVE_PATH to_prefix /prefix/${pkgconfig_dir} /prefix)
  string(REGEX REPLACE "/$" "" to_prefix ${to_prefix})
  list(JOIN ARG_LIBS " " libs)
  list(JOIN ARG_REPORT_LIBS " " report_libs)
  list(JOIN ${kind}_pkgconfig ", " requires)
  list(JOIN ${kind}_report_pkgconfig ", " report_requires)
  foreach(file vitrine.pc vitrine-report.pc)
    configure_file(${PROJECT_SOURCE_DIR}/cmake/${file}.in ${made}/${file} @ONLY)
    install(FILES ${made}/${file} DESTINATION ${pkgconfig_dir} ${how})
  endforeach()
endfunction()

set(static_libraries ${vitrine_libraries})
list(REMOVE_ITEM static_libraries vitrine_report)
list(REVERSE static_libraries)  # for the linker a library comes before what it uses
list(TRANSFORM static_libraries PREPEND "-l")
vitrine_install_package(static TARGETS ${vitrine_libraries} vitrine LIBS ${static_libraries} ${static_libs} REPORT_LIBS -lvitrine_report)
vitrine_install_package(shared TARGETS vitrine_shared_analysis vitrine_shared_report vitrine_shared LIBS -lvitrine REPORT_LIBS -lvitrine_report)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/vitrine DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT vitrine_headers
  FILES_MATCHING PATTERN "*.h")

# vitrine_install_help(ARGUMENTS FOLDER NAME): installs what the command prints with these arguments.
function(vitrine_install_help arguments folder name)
  set(file ${PROJECT_BINARY_DIR}/help/${folder}/${name})
  cmake_path(GET file PARENT_PATH parent)
  file(MAKE_DIRECTORY ${parent})
  install(CODE "execute_process(COMMAND \"$<TARGET_FILE:vitrine_cli>\" ${arguments}
    OUTPUT_FILE \"${file}\" COMMAND_ERROR_IS_FATAL ANY)")
  install(FILES ${file} DESTINATION ${folder})
endfunction()

if(TARGET vitrine_cli)
  install(TARGETS vitrine_cli RUNTIME_DEPENDENCY_SET vitrine_dependencies RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  # `vitrine bench` starts it. A build of the command alone has none.
  install(TARGETS vitrine_bench_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} OPTIONAL)
  if(NOT CMAKE_CROSSCOMPILING)
    vitrine_install_help(man ${CMAKE_INSTALL_MANDIR}/man1 vitrine.1)
    set(data ${CMAKE_INSTALL_DATADIR})
    vitrine_install_help("completions;bash" ${data}/bash-completion/completions vitrine)
    vitrine_install_help("completions;zsh" ${data}/zsh/site-functions _vitrine)
    vitrine_install_help("completions;fish" ${data}/fish/vendor_completions.d vitrine.fish)
  endif()
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/models/demo DESTINATION ${vitrine_data_dir}/models)
# Documents keep their places, so that their links lead somewhere.
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/CHANGELOG.md
  ${PROJECT_SOURCE_DIR}/CONTRIBUTING.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/examples DESTINATION ${vitrine_data_dir} PATTERN CMakeLists.txt EXCLUDE)
install(FILES ${PROJECT_SOURCE_DIR}/cmake/examples.cmake DESTINATION ${vitrine_data_dir}/examples RENAME CMakeLists.txt)
