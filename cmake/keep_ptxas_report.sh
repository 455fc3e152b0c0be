#!/bin/sh
# SPDX-License-Identifier: MIT
# Launches the CUDA compiler. What ptxas reports of each kernel goes to OBJECT.ptxas, for
# tests/cuda_code; everything else that the compiler says is passed on.
object='' previous=''
for argument; do
  if [ "$previous" = -o ]; then object=$argument; fi
  previous=$argument
done
"$@" 2>"$object.ptxas"
status=$?
grep -vE '^ptxas info|^ +[0-9]+ bytes stack frame' "$object.ptxas" >&2
exit "$status"
