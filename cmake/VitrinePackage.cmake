# SPDX-License-Identifier: MIT
# What CPack makes of an install; scripts/package.sh runs it and checks the result. An archive that runs from any folder, with its
# libraries inside, and two Debian packages that name theirs: vitrine (the command) and libvitrine-dev (the shared libraries).

# Programs and shared libraries look for the archive's libraries in LIBDIR/vitrine, and these for one another: for that, the linker writes
# the older of its two tags.
set(vitrine_bundled_dir ${CMAKE_INSTALL_LIBDIR}/vitrine)
file(RELATIVE_PATH to_bundled ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR}/vitrine)
set_target_properties(vitrine_cli vitrine_bench_cli PROPERTIES INSTALL_RPATH "$ORIGIN/${to_bundled}" BUILD_WITH_INSTALL_RPATH ON)
set_target_properties(vitrine_shared_analysis vitrine_shared_report PROPERTIES INSTALL_RPATH "$ORIGIN;$ORIGIN/vitrine")
foreach(target vitrine_cli vitrine_bench_cli vitrine_shared_analysis vitrine_shared_report)
  target_link_options(${target} PRIVATE -Wl,--disable-new-dtags)
endforeach()
# The runtimes of C and C++ are the system's, as in a manylinux wheel; a newer system's fit, a copy would not.
if(NOT CMAKE_CROSSCOMPILING)
  install(RUNTIME_DEPENDENCY_SET vitrine_dependencies
    PRE_EXCLUDE_REGEXES "^(libc|libm|libdl|librt|libpthread|libstdc\\+\\+|libgcc_s|ld-linux[^/]*)\\.so" "^libvitrine"
    LIBRARY DESTINATION ${vitrine_bundled_dir} COMPONENT vitrine_bundled EXCLUDE_FROM_ALL)
  install(CODE "set(vitrine_bundled_dir ${vitrine_bundled_dir})" COMPONENT vitrine_bundled EXCLUDE_FROM_ALL)
  install(SCRIPT ${PROJECT_SOURCE_DIR}/cmake/BundledLicences.cmake COMPONENT vitrine_bundled EXCLUDE_FROM_ALL)
endif()

set(CPACK_GENERATOR TGZ DEB)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_PACKAGE_VENDOR "the Vitrine project")
set(CPACK_PACKAGE_CONTACT "${CPACK_PACKAGE_VENDOR} <vitrine@localhost>")  # a lab that hands packages on sets its own
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_SYSTEM_NAME Linux-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL Unspecified vitrine_shared vitrine_headers)
set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_PROJECT_CONFIG_FILE ${PROJECT_BINARY_DIR}/VitrinePackageKind.cmake)
file(WRITE ${CPACK_PROJECT_CONFIG_FILE} [[
if(CPACK_GENERATOR STREQUAL "TGZ")
  set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
  list(APPEND CPACK_COMPONENTS_ALL vitrine_bundled)
  set(CPACK_COMPONENT_INCLUDE_TOPLEVEL_DIRECTORY ON)
endif()
]])

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR})  # libvitrine_report needs libvitrine
set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_NAME vitrine)
# Opened when they are needed: by `pull`, and for the letters of figures.
set(CPACK_DEBIAN_UNSPECIFIED_PACKAGE_RECOMMENDS "libcurl4, libssl3, ca-certificates, fonts-dejavu-core")
set(CPACK_DEBIAN_UNSPECIFIED_DESCRIPTION "Runs GPT-2 models and shows their activations: the command, its manual page,
completions, a small model and the documents.")
set(CPACK_DEBIAN_DEV_PACKAGE_NAME libvitrine-dev)
set(CPACK_DEBIAN_DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEV_PACKAGE_DEPENDS "vitrine (= ${PROJECT_VERSION})")  # whose model the library finds
set(CPACK_DEBIAN_DEV_DESCRIPTION "Shared libraries, headers, and the files of CMake and pkg-config.")
include(CPack)
cpack_add_component(vitrine_shared GROUP dev)
cpack_add_component(vitrine_headers GROUP dev)
