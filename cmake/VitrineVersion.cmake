# SPDX-License-Identifier: MIT
# VITRINE_VERSION: MAJOR.MINOR.PATCH as include/vitrine/version.h defines it, its only source.
set(version_header ${CMAKE_CURRENT_LIST_DIR}/../include/vitrine/version.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${version_header})
set(VITRINE_VERSION "")
foreach(part MAJOR MINOR PATCH)
  file(STRINGS ${version_header} line REGEX "^#define VITRINE_VERSION_${part} [0-9]+$")
  if(NOT line MATCHES "([0-9]+)$")
    message(FATAL_ERROR "${version_header}: missing line '#define VITRINE_VERSION_${part} NUMBER'")
  endif()
  list(APPEND VITRINE_VERSION ${CMAKE_MATCH_1})
endforeach()
list(JOIN VITRINE_VERSION "." VITRINE_VERSION)
