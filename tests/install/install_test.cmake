# SPDX-License-Identifier: MIT
# Run by CTest with -DBUILD, -DCONSUMER, -DVERSION, -DCOMPILER, -DGENERATOR and, for a build with sanitizers, -DSANITIZE.
cmake_minimum_required(VERSION 3.25)

execute_process(COMMAND mktemp -d OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
set(prefix "${folder}/the prefix")  # a space in the path is where scripts break first

# step(NAME [EXPECT regex] COMMAND ...): runs it; its output must match the expression. Cleans up before it fails.
function(step name)
  cmake_parse_arguments(PARSE_ARGV 1 ARG "" "EXPECT" "COMMAND")
  execute_process(COMMAND ${ARG_COMMAND} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  message("-- ${name}\n${output}")
  if(NOT status EQUAL 0)
    file(REMOVE_RECURSE ${folder})
    message(FATAL_ERROR "${name}: ended with ${status}")
  elseif(DEFINED ARG_EXPECT AND NOT output MATCHES "${ARG_EXPECT}")
    file(REMOVE_RECURSE ${folder})
    message(FATAL_ERROR "${name}: the output does not match: ${ARG_EXPECT}")
  endif()
endfunction()

set(flags "")
if(SANITIZE)
  set(flags "-fsanitize=${SANITIZE}")
endif()

step("install" COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})
# Away from the tree: a copy of the program, and of the prefix under another name, so that no path of ours is left in it.
file(COPY ${CONSUMER} DESTINATION ${folder})
file(RENAME ${prefix} "${folder}/moved prefix")
set(prefix "${folder}/moved prefix")
set(demo ${prefix}/share/vitrine/models/demo)

step("configure a program" COMMAND ${CMAKE_COMMAND} -S ${folder}/consumer -B ${folder}/consumer/build -G ${GENERATOR}
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_FLAGS=${flags} -DCMAKE_PREFIX_PATH=${prefix})
step("build it" COMMAND ${CMAKE_COMMAND} --build ${folder}/consumer/build)
step("run it" EXPECT "blocks\\.0\\.hook_resid_post: [-+][0-9.]+ .*blocks\\.5\\.hook_resid_post: [-+][0-9.]+ "
  COMMAND ${CMAKE_COMMAND} -E env VITRINE_DEMO_MODEL=${demo} ${folder}/consumer/build/consumer)
step("the command's version" EXPECT "vitrine ${VERSION}" COMMAND ${prefix}/bin/vitrine --version)
step("its manual page" EXPECT "TH VITRINE 1 " COMMAND ${CMAKE_COMMAND} -E cat ${prefix}/share/man/man1/vitrine.1)
foreach(script bash-completion/completions/vitrine zsh/site-functions/_vitrine
        fish/vendor_completions.d/vitrine.fish)
  step("completions in ${script}" EXPECT "make-random" COMMAND ${CMAKE_COMMAND} -E cat ${prefix}/share/${script})
endforeach()
step("the command on the installed model" EXPECT "London" COMMAND ${prefix}/bin/vitrine lens --model ${demo}
  --prompt "Heathrow airport is located in the city of" --watch " London")
step("the program that measures" EXPECT "forward 1 x 8 tokens" COMMAND ${prefix}/bin/vitrine bench --model ${demo}
  --workload forward --hooks none --prompt 8 --repeat 1)
file(REMOVE_RECURSE ${folder})
