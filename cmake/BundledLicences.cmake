# SPDX-License-Identifier: MIT
# Run at installation, after the libraries of the archive: beside them the licences of the Debian packages that they come from.
set(folder $ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/${vitrine_bundled_dir})
file(GLOB libraries RELATIVE ${folder} ${folder}/lib*.so.*)
list(TRANSFORM libraries PREPEND "*/")
execute_process(COMMAND dpkg -S ${libraries} OUTPUT_VARIABLE owners ERROR_QUIET)
string(REPLACE "\n" ";" owners "${owners}")  # libcairo2:amd64: /usr/lib/x86_64-linux-gnu/libcairo.so.2
list(TRANSFORM owners REPLACE ":.*" "")
list(REMOVE_DUPLICATES owners)
foreach(package IN LISTS owners)
  if(EXISTS /usr/share/doc/${package}/copyright)
    file(COPY_FILE /usr/share/doc/${package}/copyright ${folder}/${package}.copyright)
  endif()
endforeach()
