# SPDX-License-Identifier: MIT
# Cairo, which has no CMake package of its own: the target Cairo::Cairo.
find_package(PkgConfig QUIET)
if(PKG_CONFIG_FOUND)
  pkg_check_modules(PC_CAIRO QUIET cairo)
endif()
find_path(CAIRO_INCLUDE_DIR cairo.h HINTS ${PC_CAIRO_INCLUDE_DIRS} PATH_SUFFIXES cairo)
find_library(CAIRO_LIBRARY cairo HINTS ${PC_CAIRO_LIBRARY_DIRS})

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Cairo REQUIRED_VARS CAIRO_LIBRARY CAIRO_INCLUDE_DIR VERSION_VAR PC_CAIRO_VERSION)
if(Cairo_FOUND AND NOT TARGET Cairo::Cairo)
  add_library(Cairo::Cairo UNKNOWN IMPORTED)
  set_target_properties(Cairo::Cairo PROPERTIES IMPORTED_LOCATION ${CAIRO_LIBRARY} INTERFACE_INCLUDE_DIRECTORIES ${CAIRO_INCLUDE_DIR})
endif()
mark_as_advanced(CAIRO_INCLUDE_DIR CAIRO_LIBRARY)
