#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs clang-tidy, with the checks of .clang-tidy, on the sources that a change touches.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<TEXT
usage: scripts/tidy.sh [options] [FILE...]

Checks the given files, or the C++ files that differ from a revision, with clang-tidy 14. A changed
header is checked through its own source or through one that includes it.

  --base REVISION   compare with this revision (default: HEAD~1)
  --all             check every source; takes an hour on two cores
  --jobs N          check this many files at a time (default: the number of cores)
TEXT
}

die() {
  printf 'tidy.sh: %s\n' "$*" >&2
  exit 2
}

base=HEAD~1 all=0 jobs=$(nproc 2>/dev/null || echo 2) files=()
while (($#)); do
  case $1 in
    --base | --jobs)
      (($# >= 2)) || die "$1 needs a value; see --help"
      if [[ $1 == --base ]]; then base=$2; else jobs=$2; fi
      shift
      ;;
    --all) all=1 ;;
    -h | --help)
      usage
      exit 0
      ;;
    -*) die "unknown option '$1'; see --help" ;;
    *) files+=("$(realpath -- "$1")") ;;
  esac
  shift
done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || die "invalid --jobs '$jobs': expected a whole number from 1"
tidy=$(command -v clang-tidy-14 || command -v clang-tidy) ||
  die "clang-tidy is missing; install the package clang-tidy"

if ((all)); then
  mapfile -t files < <(git ls-files -- '*.cc')
elif ((!${#files[@]})); then
  git rev-parse --quiet --verify "$base^{commit}" >/dev/null ||
    die "unknown revision '$base': expected a commit, branch or tag"
  mapfile -t files < <(git diff --name-only --diff-filter=d "$base" -- '*.cc' '*.h')
fi

# The source that shows a header's findings: its own, or the first that includes it.
source_of() {
  local header=${1#"$PWD"/} own
  own=${header%.h}.cc
  own=${own#include/vitrine/}
  if [[ -e $own ]]; then
    printf '%s\n' "$own"
  else
    git grep -lF "#include \"${header#include/}\"" -- '*.cc' | head -n 1
  fi
}

# CUDA code, its emulation and the fuzzers are compiled with flags that clang-tidy has not got.
list=$(for file in ${files[@]+"${files[@]}"}; do
  if [[ $file == *.h ]]; then source_of "$file"; else printf '%s\n' "${file#"$PWD"/}"; fi
done | grep -vE '^(kernels/cuda|tests/(cuda_on_host|fuzz|install))/' | sort -u || true)
if [[ ! $list ]]; then
  echo "No C++ sources to check"
  exit
fi

# A folder of its own: clang-tidy cannot read the precompiled headers of another compiler, and finds
# the command of a file only where files are compiled one by one.
build="build-tidy"
mkdir -p "$build"
cmake -S . -B "$build" -G Ninja -DCMAKE_EXPORT_COMPILE_COMMANDS=ON -DVITRINE_CUDA=OFF \
  -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON -DVITRINE_UNITY=OFF -DVITRINE_BUILD_TESTS=ON \
  >"$build/configure.log" 2>&1 ||
  {
    cat "$build/configure.log" >&2
    die "configuring $build failed"
  }

started=$SECONDS status=0
printf '%s\n' "$list" |
  xargs -d '\n' -P "$jobs" -n 1 "$tidy" -p "$build" --quiet 2>"$build/tidy.log" || status=1
((!status)) || grep -vE '^[0-9]+ warnings? (generated|and)' "$build/tidy.log" >&2 || true
printf '%d files checked in %d s\n' "$(wc -l <<<"$list")" $((SECONDS - started))
exit $status
