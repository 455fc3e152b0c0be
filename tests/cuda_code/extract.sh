#!/bin/sh
# SPDX-License-Identifier: MIT
# extract.sh OBJECT ARCHITECTURE STEM: what ptxas reported of OBJECT for ARCHITECTURE becomes STEM.txt,
# and STEM.o leads to the object.
set -eu
object=$1 architecture=$2 stem=$3

# A line that names no architecture belongs to the function named before it.
awk -v wanted="'$architecture'" '
  /Compiling entry function/ { inside = index($0, wanted) > 0 }
  inside || /wgmma/ { print }' "$object.ptxas" >"$stem.txt.new"
ln -sf "$object" "$stem.o"
mv "$stem.txt.new" "$stem.txt"
