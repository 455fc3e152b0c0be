#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what a build needs, builds, and shows the bundled model's layers raising an answer to rank 1.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<TEXT
usage: scripts/demo.sh [options]

Installs missing Debian packages, builds Vitrine, and shows the logit lens of the bundled model on two prompts.

  --jobs N       compile this many files at a time (default: the number of cores)
  --build DIR    build there (default: build/)
  --no-install   install nothing
TEXT
}

parse_options "$@"
[[ ! $SANITIZE ]] || die "--sanitize is for scripts/test.sh"
ensure_packages "${BUILD_PACKAGES[@]}"
drop_sudo
# A folder that scripts/test.sh has configured keeps its tests; a new one does without them and their packages.
options=()
[[ -e $BUILD/CMakeCache.txt ]] || options=(-DVITRINE_BUILD_TESTS=OFF -DVITRINE_BUILD_EXAMPLES=OFF -DVITRINE_BUILD_BENCH=OFF)
configure_and_build vitrine_cli "${options[@]}"

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
