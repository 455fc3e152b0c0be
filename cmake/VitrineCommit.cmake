# SPDX-License-Identifier: MIT
# The commit that a build is of. Included, this adds the target vitrine_commit, which runs this file in each build; it writes
# generated/vitrine_commit.h only when the commit is another one, so that nothing else is compiled again.
set(archived "$Format:%H$")  # filled in by `git archive`

if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(vitrine_generated ${PROJECT_BINARY_DIR}/generated)
  add_custom_target(vitrine_commit BYPRODUCTS ${vitrine_generated}/vitrine_commit.h
    COMMAND ${CMAKE_COMMAND} -DSOURCE=${PROJECT_SOURCE_DIR} -DOUT=${vitrine_generated}/vitrine_commit.h -P ${CMAKE_CURRENT_LIST_FILE}
    COMMENT "" VERBATIM)
  # vitrine_uses_commit(TARGET FILE): the file of the target includes vitrine_commit.h.
  function(vitrine_uses_commit target file)
    add_dependencies(${target} vitrine_commit)
    set_property(SOURCE ${file} APPEND PROPERTY INCLUDE_DIRECTORIES ${vitrine_generated})
  endfunction()
  return()
endif()

cmake_minimum_required(VERSION 3.25)  # a script has no policies otherwise
set(commit "")
if(archived MATCHES "^[0-9a-f]+$")
  string(SUBSTRING ${archived} 0 12 commit)
else()
  set(git git -C ${SOURCE})
  execute_process(COMMAND ${git} rev-parse --short=12 HEAD OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  execute_process(COMMAND ${git} status --porcelain --untracked-files=no OUTPUT_VARIABLE changed ERROR_QUIET)
  if(commit AND changed)
    string(APPEND commit " with changes")
  endif()
endif()
if(NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT "#define VITRINE_COMMIT \"${commit}\"\n")
