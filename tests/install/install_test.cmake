# SPDX-License-Identifier: MIT
# Run by CTest with -DKIND (static or shared libraries), -DKINDS (the kind of a plain install first), -DSOURCE, -DBUILD, -DCONSUMER,
# -DVERSION, -DFIGURES, -DCOMPILER, -DGENERATOR and, for a build with sanitizers, -DSANITIZE.
cmake_minimum_required(VERSION 3.25)

execute_process(COMMAND mktemp -d OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
set(prefix "${folder}/the prefix")  # a space in the path is where scripts break first

function(fail text)
  file(REMOVE_RECURSE ${folder})
  message(FATAL_ERROR "${text}")
endfunction()

# step(NAME [EXPECT regex] [WITHOUT regex] [STATUS n] COMMAND ...): runs it; its output must match the one expression and not the other.
function(step name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "EXPECT;WITHOUT;STATUS" "COMMAND")
  execute_process(COMMAND ${ARG_COMMAND} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  message("-- ${name}\n${output}")
  if(NOT DEFINED ARG_STATUS)
    set(ARG_STATUS 0)
  endif()
  if(NOT status EQUAL ARG_STATUS)
    fail("${name}: ended with ${status}")
  elseif(DEFINED ARG_EXPECT AND NOT output MATCHES "${ARG_EXPECT}")
    fail("${name}: the output does not match: ${ARG_EXPECT}")
  elseif(DEFINED ARG_WITHOUT AND output MATCHES "${ARG_WITHOUT}")
    fail("${name}: the output matches: ${ARG_WITHOUT}")
  endif()
endfunction()

set(flags "")
if(SANITIZE)
  set(flags "-fsanitize=${SANITIZE}")
endif()

list(GET KINDS 0 plain)
if(KIND STREQUAL plain)
  step("install" COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
else()
  foreach(component vitrine_${KIND} vitrine_headers Unspecified)
    step("install ${component}" COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix} --component ${component})
  endforeach()
endif()
# Away from the tree: a copy of the program, and of the prefix under another name, so that no path of ours is left in it.
file(COPY ${CONSUMER} DESTINATION ${folder})
file(RENAME ${prefix} "${folder}/moved prefix")
set(prefix "${folder}/moved prefix")
file(GLOB_RECURSE texts ${prefix}/*.cmake ${prefix}/*.pc ${prefix}/share/man/* ${prefix}/share/bash-completion/* ${prefix}/share/zsh/*)
step("no path of the tree in texts" STATUS 1 COMMAND grep -lF -e ${SOURCE}/ -e ${BUILD}/ ${texts})
file(GLOB_RECURSE binaries ${prefix}/bin/* ${prefix}/lib*/lib*)
step("no data of the tree in programs" STATUS 1 COMMAND grep -lF ${SOURCE}/models ${binaries})
set(demo ${prefix}/share/vitrine/models/demo)
# Static libraries are in the consumer's program, which is not in the prefix; shared ones find the model beside themselves.
set(environment ${CMAKE_COMMAND} -E env --unset=VITRINE_DEMO_MODEL)
set(consumer_environment ${environment})
if(KIND STREQUAL static)
  set(consumer_environment ${CMAKE_COMMAND} -E env VITRINE_DEMO_MODEL=${demo})
endif()

# --- programs
set(configure ${CMAKE_COMMAND} -S ${folder}/consumer -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_FLAGS=${flags}
  -DCMAKE_PREFIX_PATH=${prefix})
set(lines "blocks\\.0\\.hook_resid_post: [-+][0-9.]+ .*blocks\\.5\\.hook_resid_post: [-+][0-9.]+ ")
set(analysis ${folder}/analysis)
step("configure a program of analyses, without Cairo" COMMAND ${configure} -B ${analysis} -DCOMPONENT=analysis
  -DCMAKE_DISABLE_FIND_PACKAGE_Cairo=ON)
step("build it" COMMAND ${CMAKE_COMMAND} --build ${analysis})
step("run it" EXPECT "${lines}" COMMAND ${consumer_environment} ${analysis}/consumer)
step("it does not need Cairo" EXPECT "libstdc" WITHOUT "cairo|vitrine_report" COMMAND readelf -d ${analysis}/consumer)
set(report ${folder}/report)
step("configure a program of pages and figures" COMMAND ${configure} -B ${report})
step("build it" COMMAND ${CMAKE_COMMAND} --build ${report})
set(said "page of [0-9]+ bytes")
if(FIGURES)
  string(APPEND said ".*figure: <[?]xml")
endif()
step("run it" EXPECT "${said}" COMMAND ${consumer_environment} ${report}/reporter)
step("an unknown component" STATUS 1 EXPECT "unknown component 'pages'"
  COMMAND ${configure} -B ${folder}/unknown -DCOMPONENT=pages)
find_program(pkg_config pkg-config)
if(pkg_config)
  file(GLOB_RECURSE pc ${prefix}/vitrine.pc)
  cmake_path(GET pc PARENT_PATH pc_folder)
  cmake_path(GET pc_folder PARENT_PATH lib_folder)
  file(WRITE ${folder}/make.sh "set -e\nexport PKG_CONFIG_PATH='${pc_folder}'\npkg-config --modversion vitrine-report\n"
    "eval ${COMPILER} -std=c++20 ${flags} '${folder}/consumer/main.cc' -o '${folder}/by_pkgconfig' $(pkg-config --cflags --libs vitrine)\n"
    "pkg-config --libs vitrine-report\n")
  step("build a program with pkg-config" EXPECT "${VERSION}\n.*-lvitrine_report" COMMAND sh ${folder}/make.sh)
  step("run it" EXPECT "${lines}" COMMAND ${consumer_environment} LD_LIBRARY_PATH=${lib_folder} ${folder}/by_pkgconfig)
endif()
if(KIND STREQUAL shared)
  file(GLOB_RECURSE library ${prefix}/lib*/libvitrine.so)
  step("the library's name and needs" EXPECT "soname: .libvitrine.so.[0-9]+.[0-9]+." WITHOUT "cairo" COMMAND readelf -d ${library})
  step("it exports its own names" EXPECT "Model" WITHOUT " (T|W) (nlohmann|fmt|Eigen|hwy)::" COMMAND nm -DC --defined-only ${library})
endif()
if(NOT KIND STREQUAL plain)
  file(REMOVE_RECURSE ${folder})
  return()
endif()

# --- what else a plain install has
step("configure an example" COMMAND ${CMAKE_COMMAND} -S ${prefix}/share/vitrine/examples -B ${folder}/examples -G ${GENERATOR}
  -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_FLAGS=${flags} -DCMAKE_PREFIX_PATH=${prefix})
step("build it" COMMAND ${CMAKE_COMMAND} --build ${folder}/examples --target logit_lens)
step("run it" EXPECT "after layer" COMMAND ${consumer_environment} ${folder}/examples/logit_lens)
step("the command's version" EXPECT "vitrine ${VERSION}" COMMAND ${prefix}/bin/vitrine --version)
step("its manual page" EXPECT "TH VITRINE 1 " COMMAND ${CMAKE_COMMAND} -E cat ${prefix}/share/man/man1/vitrine.1)
foreach(script bash-completion/completions/vitrine zsh/site-functions/_vitrine
        fish/vendor_completions.d/vitrine.fish)
  step("completions in ${script}" EXPECT "make-random" COMMAND ${CMAKE_COMMAND} -E cat ${prefix}/share/${script})
endforeach()
foreach(file doc/vitrine/README.md doc/vitrine/docs/CLI.md vitrine/examples/predictivity/stimuli.csv)
  step("${file}" COMMAND test -s ${prefix}/share/${file})
endforeach()
step("the command on its own model" EXPECT "London" COMMAND ${environment} ${prefix}/bin/vitrine lens
  --prompt "Heathrow airport is located in the city of" --watch " London")
step("its model is the installed one" EXPECT "demo: [^\n]*moved prefix/share/vitrine/models/demo" COMMAND ${environment}
  ${prefix}/bin/vitrine doctor)
step("the program that measures" EXPECT "forward 1 x 8 tokens" COMMAND ${environment} ${prefix}/bin/vitrine bench --model demo
  --workload forward --hooks none --prompt 8 --repeat 1)
file(REMOVE_RECURSE ${folder})
