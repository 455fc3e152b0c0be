#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what a build needs, builds, and shows the layers of the bundled model raising an answer
# to rank 1.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<TEXT
usage: scripts/demo.sh [options]

Installs missing Debian packages, builds Vitrine, and shows the logit lens of the bundled model on
two prompts.

  --cuda MODE    auto: for the GPU of this machine if one answers (default); on; off
  --jobs N       compile this many files at a time (default: the number of cores)
  --build DIR    build there (default: build/)
  --no-install   install nothing
TEXT
}

parse_own_option() { :; }
parse_options "$@"
set_build_folder build
ensure_packages "${BUILD_PACKAGES[@]}"
drop_sudo
options=()
if [[ ! -e $BUILD/CMakeCache.txt ]]; then
  options=(-DCMAKE_BUILD_TYPE=Release -DVITRINE_BUILD_TESTS=OFF -DVITRINE_BUILD_EXAMPLES=OFF
    -DVITRINE_BUILD_BENCH=OFF)
fi
# A folder that scripts/test.sh has configured keeps its tests and its choice of CUDA.
if [[ $CUDA == auto ]] &&
  grep -q '^VITRINE_BUILD_TESTS:BOOL=ON' "$BUILD/CMakeCache.txt" 2>/dev/null; then
  say "CUDA: as $BUILD was configured by scripts/test.sh; --cuda on or off changes it"
else
  choose_cuda OFF
  say "$CUDA_CHOICE"
  options+=("${CUDA_OPTIONS[@]}")
fi
configure "${options[@]}"
build vitrine_cli

vitrine=$BUILD/cli/vitrine
show() {
  printf '\n$ vitrine'
  printf ' %q' "$@"
  printf '\n\n'
  "$vitrine" "$@" </dev/null
}
show lens --model demo --prompt "Heathrow airport is located in the city of" --target " London"
show lens --model demo --prompt "The keys to the cabinet" --watch " is, are" --position -1

cat <<TEXT

More: $vitrine --help
TEXT
