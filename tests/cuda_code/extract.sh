#!/bin/sh
# SPDX-License-Identifier: MIT
# extract.sh OBJECT ARCHITECTURE STEM [CUOBJDUMP]: what ptxas reported of OBJECT for ARCHITECTURE becomes
# STEM.txt, and with a disassembler the machine code becomes STEM.sass.
set -eu
object=$1 architecture=$2 stem=$3 disassembler=${4:-}

rm -f "$stem.sass"
[ ! "$disassembler" ] || "$disassembler" -sass -arch "$architecture" "$object" >"$stem.sass"

# A line that names no architecture belongs to the function named before it.
awk -v wanted="'$architecture'" '
  /Compiling entry function/ { inside = index($0, wanted) > 0 }
  inside || /wgmma/ { print }' "$object.ptxas" >"$stem.txt.new"
mv "$stem.txt.new" "$stem.txt"
