# SPDX-License-Identifier: MIT
# Installs the library as the CMake package `vitrine` (target vitrine::vitrine), its headers, the command and the bundled model.
include(CMakePackageConfigHelpers)

set(vitrine_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/vitrine)
get_property(vitrine_libraries GLOBAL PROPERTY VITRINE_LIBRARIES)

install(TARGETS ${vitrine_libraries} vitrine EXPORT vitrineTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT vitrineTargets NAMESPACE vitrine:: DESTINATION ${vitrine_package_dir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/vitrine DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/vitrineConfig.cmake.in ${PROJECT_BINARY_DIR}/vitrineConfig.cmake
  INSTALL_DESTINATION ${vitrine_package_dir} PATH_VARS CMAKE_INSTALL_DATADIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/vitrineConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/vitrineConfig.cmake ${PROJECT_BINARY_DIR}/vitrineConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/cmake/FindCairo.cmake ${PROJECT_SOURCE_DIR}/cmake/FindSentencePiece.cmake DESTINATION ${vitrine_package_dir})

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
  install(TARGETS vitrine_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
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
install(DIRECTORY ${PROJECT_SOURCE_DIR}/models/demo DESTINATION ${CMAKE_INSTALL_DATADIR}/vitrine/models)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
