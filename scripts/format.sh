#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Formats the sources as .clang-format says, or checks that they are.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<TEXT
usage: scripts/format.sh [options] [FILE...]

Formats the C++ and CUDA sources that git knows, or the given files, with clang-format 14.

  --check        change nothing; list the files that need formatting, and fail if there are any
  --jobs N       format this many files at a time (default: the number of cores)
  --no-install   install nothing
TEXT
}

CHECK=0 FILES=()
parse_own_option() {
  TAKEN=1
  case $1 in
    --check) CHECK=1 ;;
    -*) TAKEN=0 ;;
    *) FILES+=("$(realpath -- "$1")") ;;
  esac
}
parse_options "$@"
ensure_packages "${FORMAT_PACKAGES[@]}"
drop_sudo
cd "$ROOT"
if ((!${#FILES[@]})); then
  mapfile -t FILES < <(git ls-files -- '*.h' '*.cc' '*.cu' '*.cuh')
fi
((${#FILES[@]})) || die "no files to format: expected a git checkout, or files on the command line"

run() {
  printf '%s\0' "${FILES[@]}" | xargs -0 -r -n 20 -P "$JOBS" clang-format-14 --style=file "$@"
}
if ((!CHECK)); then
  run -i
  say "Formatted ${#FILES[@]} files in $SECONDS s"
  exit
fi
wrong=$(run --dry-run -Werror 2>&1 |
  sed -nE 's/^([^ :]+):[0-9]+:[0-9]+: error: .*/\1/p' | sort -u || true)
if [[ $wrong ]]; then
  say "$wrong"
  say "$(wc -l <<<"$wrong") of ${#FILES[@]} files need scripts/format.sh; checked in $SECONDS s"
  exit 1
fi
say "${#FILES[@]} files are formatted; checked in $SECONDS s"
