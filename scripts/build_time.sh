#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Measures the CPU seconds that a build takes, by group: top folder, nvcc, linking.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat <<TEXT
usage: scripts/build_time.sh [options] [-DNAME=VALUE...]

Configures a new folder, builds a target without a compiler cache, and prints user plus system
seconds by group. Release, no CUDA; tests are configured unless the target is vitrine_cli. Options
for CMake (-DVITRINE_CUDA=ON) come after and win.

  --target NAME   build this (default: vitrine_cli, what scripts/demo.sh builds)
  --jobs N        compile this many files at a time (default: the number of cores)
  --slowest N     list the N slowest objects as well (default: 0)
  --build DIR     build there and keep it (default: a temporary folder); it must not exist
TEXT
}

die() {
  printf 'build_time.sh: %s\n' "$*" >&2
  exit 2
}

target=vitrine_cli jobs=$(nproc 2>/dev/null || echo 2) slowest=0 build='' options=()
while (($#)); do
  case $1 in
    --target | --jobs | --slowest | --build)
      (($# >= 2)) || die "$1 needs a value; see --help"
      case $1 in
        --target) target=$2 ;;
        --jobs) jobs=$2 ;;
        --slowest) slowest=$2 ;;
        --build) build=$2 ;;
      esac
      shift
      ;;
    -D?*) options+=("$1") ;;
    -h | --help)
      usage
      exit 0
      ;;
    *) die "unknown option '$1'; see --help" ;;
  esac
  shift
done
[[ $jobs =~ ^[1-9][0-9]*$ ]] || die "invalid --jobs '$jobs': expected a whole number from 1"
[[ $slowest =~ ^[0-9]+$ ]] || die "invalid --slowest '$slowest': expected a whole number from 0"
if [[ $build ]]; then
  [[ ! -e $build ]] || die "$build exists: expected a new folder; name another"
  mkdir -p "$build"
else
  build=$(mktemp -d)
  trap 'rm -rf "$build"' EXIT
fi
build=$(cd "$build" && pwd)

# Runs a compiler or linker and notes: user, system and wall seconds, program, output.
cat >"$build/launcher" <<'LAUNCHER'
#!/usr/bin/env bash
output='' previous=''
for argument; do
  [[ $previous == -o ]] && output=$argument
  previous=$argument
done
exec 3>&2 4>&1
TIMEFORMAT='%U %S %R'
seconds=$({ time "$@" 2>&3 >&4 3>&- 4>&-; } 2>&1)
status=$?
printf '%s %s %s\n' "$seconds" "${1##*/}" "$output" >>"${0%/*}/seconds.txt"
exit $status
LAUNCHER
chmod +x "$build/launcher"

tests=ON
[[ $target == vitrine_cli ]] && tests=OFF
launchers=()
for kind in CXX_COMPILER CUDA_COMPILER CXX_LINKER CUDA_LINKER; do
  launchers+=("-DCMAKE_${kind}_LAUNCHER=$build/launcher")
done
export CCACHE_DISABLE=1
cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DVITRINE_CUDA=OFF \
  "-DVITRINE_BUILD_TESTS=$tests" -DVITRINE_BUILD_EXAMPLES=OFF -DVITRINE_BUILD_BENCH=OFF \
  "${launchers[@]}" ${options[@]+"${options[@]}"} >"$build/configure.log" 2>&1 ||
  {
    cat "$build/configure.log" >&2
    die "configuring failed"
  }

: >"$build/seconds.txt"
TIMEFORMAT='%U %S %R'
{ time ninja -C "$build" -j "$jobs" --quiet "$target" 2>&3 >&4; } 3>&2 4>&1 2>"$build/total.txt" ||
  die "the build of $target failed"

awk -v total="$(<"$build/total.txt")" '
  {
    group = $5
    sub(/\/.*/, "", group)
    if ($4 ~ /^nvcc/) group = "nvcc"
    else if ($5 !~ /\.(o|gch)$/) group = "link"
    seconds[group] += $1 + $2
    ++count[group]
    known += $1 + $2
  }
  END {
    split(total, all, " ")
    for (group in seconds) {
      printf "%s %.1f %d\n", group, seconds[group], count[group] | "sort -k2,2nr"
    }
    close("sort -k2,2nr")
    printf "other %.1f 0\n", all[1] + all[2] - known
    printf "total %.1f %d\n", all[1] + all[2], NR
    printf "wall %.1f 0\n", all[3]
  }' "$build/seconds.txt" |
  awk 'BEGIN { printf "%-12s %9s %8s\n", "group", "CPU s", "objects" }
       { printf "%-12s %9.1f %8s\n", $1, $2, $3 ? $3 : "" }'
if ((slowest)); then
  printf '\n%-9s object\n' 'CPU s'
  sort -k1,1nr "$build/seconds.txt" | head -n "$slowest" | awk '{ printf "%-9.1f %s\n", $1 + $2, $5 }'
fi
