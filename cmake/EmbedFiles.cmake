# SPDX-License-Identifier: MIT
# cmake -DOUTPUT=FILE.cc -DFILES="A;B" -P EmbedFiles.cmake: a C++ source that holds the files' bytes, by name. What pages are made of
# is edited as the CSS and JavaScript that it is, and needs no file at run time.
set(text "#include \"report/assets.h\"\n\nnamespace vitrine::internal {\n\nstd::string_view asset(std::string_view name) {\n")
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  file(READ ${file} contents)
  string(FIND "${contents}" ")~~~~\"" closing)
  if(NOT closing EQUAL -1)
    message(FATAL_ERROR "${file} holds )~~~~\", which ends the literal that it is put into")
  endif()
  string(APPEND text "  if (name == \"${name}\") return R\"~~~~(${contents})~~~~\";\n")
endforeach()
string(APPEND text "  return {};\n}\n\n}  // namespace vitrine::internal\n")
file(WRITE ${OUTPUT} "${text}")
