#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs what only a machine with a GPU can say: the kernels' and the engine's tests on it, `vitrine bench`, compute-sanitizer.
# Needs bash and the built programs, nothing else. See usage().

set -uo pipefail

usage() {
  cat <<TEXT
usage: tools/device_check.sh BUILD_DIR OUT_DIR

BUILD_DIR   where the programs are: a build folder, or what tools/bundle_device.sh made
OUT_DIR     gets device_check.json, device_check.txt, and a log of each part

All of it ends within DEVICE_CHECK_SECONDS (default 570); what does not fit is said to be left out. The status is 0 only if
everything that ran passed and at least one test ran on a GPU.
TEXT
}

die() {
  printf 'device_check: %s\n' "$*" >&2
  exit 2
}

if [[ ${1-} == -h || ${1-} == --help ]]; then usage && exit 0; fi
(($# == 2)) || die "wants BUILD_DIR and OUT_DIR; see --help"
[[ -d $1 ]] || die "$1 is not a folder: expected the folder of a build, or of a bundle"
BUILD=$(cd "$1" && pwd)
mkdir -p "$2" || die "$2 cannot be created"
OUT=$(cd "$2" && pwd)
BUDGET=${DEVICE_CHECK_SECONDS:-570}
[[ $BUDGET =~ ^[1-9][0-9]*$ ]] || die "DEVICE_CHECK_SECONDS is '$BUDGET'; give whole seconds"
SECONDS=0
export VITRINE_TEST_DEVICE=cuda
if [[ -d $BUILD/tests/goldens ]]; then export VITRINE_SOURCE_DIR=$BUILD VITRINE_DEMO_MODEL=$BUILD/models/demo; fi

# --- what was found

PARTS=()    # JSON objects
BENCHES=()  # files
GPU_TESTS=0 FAILURES=0
: >"$OUT/device_check.txt"
say() { printf '%s\n' "$*" | tee -a "$OUT/device_check.txt"; }

json_string() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  printf '"%s"' "$(printf '%s' "$text" | tr '\000-\037' ' ')"
}

# The path of a program; nothing if it is not there.
find_program() {
  local path
  for path in "$BUILD/$1" "$BUILD"/cli/"$1" "$BUILD"/tests/*/"$1"; do
    if [[ -f $path && -x $path ]]; then printf '%s' "$path" && return; fi
  done
}

# Seconds that an interrupted program has to end by itself.
GRACE=15

# Seconds for a part that may take up to $1; below 5 it is not worth beginning.
seconds_for() {
  local left=$((BUDGET - SECONDS - GRACE))
  printf '%d' $((left < $1 ? left : $1))
}

# record NAME RESULT PASSED FAILED SKIPPED SECONDS STATUS NOTE
record() {
  PARTS+=("{\"name\": $(json_string "$1"), \"result\": \"$2\", \"passed\": $3, \"failed\": $4, \"skipped\": $5, \"seconds\": $6, \"status\": $7, \"note\": $(json_string "$8")}")
  say "$(printf '%-32s %-10s %7s %7s %8s %8s   %s' "$1" "$2" "$3" "$4" "$5" "$6" "$8")"
  if [[ $2 == failed ]]; then FAILURES=$((FAILURES + 1)); fi
}

not_run() { record "$1" "not run" 0 0 0 0 null "$2"; }

count() { grep -cE "$2" "$1" || true; }

# tests NAME LIMIT PROGRAM ARGUMENT...: a GoogleTest program, perhaps started by another command (see sanitize). PASSED is what passed.
tests() {
  local name=$1 limit=$2 log=$OUT/${1// /_}.log begin=$SECONDS status failed skipped result=passed note=
  PASSED=0
  shift 2
  limit=$(seconds_for "$limit")
  if ((limit < 5)); then not_run "$name" "no time left" && return; fi
  timeout -k "$GRACE" "$limit" "$@" >"$log" 2>&1 </dev/null
  status=$?
  PASSED=$(count "$log" '^\[       OK \] .* \([0-9]+ ms\)$')
  skipped=$(count "$log" '^\[  SKIPPED \] .* \([0-9]+ ms\)$')
  failed=$(count "$log" '^\[  FAILED  \] .* \([0-9]+ ms\)$')
  if ((status == 124 || status == 137)); then note="cut off after $limit s"; fi
  if ((status != 0 && failed == 0)); then failed=1 note=${note:-"ended with status $status: $(tail -n 1 "$log")"}; fi
  if ((failed > 0)); then
    result=failed note=${note:-$(grep -m 1 -E '^\[  FAILED  \] .* \([0-9]+ ms\)$' "$log")}
  elif ((PASSED == 0)); then
    result=skipped note=${note:-no test ran}
  fi
  record "$name" "$result" "$PASSED" "$failed" "$skipped" $((SECONDS - begin)) "$status" "$note"
}

# --- the parts

is_gpu_there() {
  local program log=$OUT/gpu.log
  program=$(find_program kernels_test)
  [[ $program ]] || { GPU_MISSING="kernels_test is not in $BUILD, so nothing can be said" && return 1; }
  timeout -k 5 60 "$program" --gtest_filter=CudaTest.AGpuIsThereToRunTheKernelsOn >"$log" 2>&1 </dev/null
  if grep -q '^\[       OK \]' "$log"; then return 0; fi
  GPU_MISSING="no GPU to test on: $(grep -A 1 -E ': Skipped$' "$log" | tail -n 1)"
  [[ $GPU_MISSING != *': ' ]] || GPU_MISSING+=$(tail -n 1 "$log")
  return 1
}

run_tests() {
  local name program
  tests kernels_test 150 "$(find_program kernels_test)" '--gtest_filter=*cuda*:CudaTest.*'
  GPU_TESTS=$PASSED
  for name in golden_test golden_small_test promises_test edits_test generate_test gradients_test gradients_promises_test gradients_edits_test \
    running_moments_test; do
    program=$(find_program "$name")
    if [[ ! $program ]]; then not_run "$name" "$name is not in $BUILD" && continue; fi
    tests "$name" 60 "$program"
    GPU_TESTS=$((GPU_TESTS + PASSED))
  done
}

# bench SIZE DTYPE LIMIT. Cut off in time, it hands over what it has measured.
bench() {
  local name="bench $1 $2" out=$OUT/bench_$1_$2.json log=$OUT/bench_$1_$2.txt begin=$SECONDS status limit program rows=0
  program=$(find_program vitrine)
  if [[ ! $program ]]; then not_run "$name" "vitrine is not in $BUILD" && return; fi
  limit=$(seconds_for "$3")
  if ((limit < 5)); then not_run "$name" "no time left" && return; fi
  rm -f "$out"
  timeout -s INT -k "$GRACE" "$limit" "$program" bench --device cuda --size "$1" --dtype "$2" --width 0 --out "$out" >"$log" 2>&1 </dev/null
  status=$?
  if [[ -s $out ]]; then BENCHES+=("$out") && rows=$(count "$out" '^   "workload":'); fi
  if ((status == 0)); then
    record "$name" passed "$rows" 0 0 $((SECONDS - begin)) 0 ""
  elif ((status == 124 && rows > 0)); then
    record "$name" "cut off" "$rows" 0 0 $((SECONDS - begin)) "$status" "after $limit s; the first $rows rows are there"
  else
    record "$name" failed "$rows" 1 0 $((SECONDS - begin)) "$status" "$(tail -n 1 "$log")"
  fi
}

run_benches() {
  bench gpt2 bf16 75
  bench gpt2-xl bf16 110
  bench gpt2-large bf16 80
  bench gpt2-medium bf16 70
  bench gpt2 f32 60
}

# The first case of every suite: sanitizers take a hundred times as long.
first_cases() {
  "$1" --gtest_list_tests '--gtest_filter=*cuda*' 2>/dev/null | awk '
    /^[^ ]/ { suite = $1; wanted = 1; next }
    wanted { printf "%s%s%s", separator, suite, $1; separator = ":"; wanted = 0 }'
}

sanitize() {
  local tool program sanitizer filter
  sanitizer=$(command -v compute-sanitizer || { [[ -x /usr/local/cuda/bin/compute-sanitizer ]] && echo /usr/local/cuda/bin/compute-sanitizer; })
  program=$(find_program kernels_test)
  [[ $sanitizer ]] || { not_run "compute-sanitizer" "it is not on this machine" && return; }
  filter=$(first_cases "$program")
  for tool in memcheck racecheck synccheck initcheck; do
    tests "compute-sanitizer $tool" 45 "$sanitizer" --tool "$tool" --error-exitcode 99 "$program" "--gtest_filter=$filter"
  done
}

# --- the report

gpu_facts() {
  local line
  command -v nvidia-smi >/dev/null || { printf 'null' && return; }
  line=$(nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit --format=csv,noheader 2>/dev/null | head -n 1)
  [[ $line ]] || { printf 'null' && return; }
  printf '{"fields": "name, driver, memory, highest clock, highest memory clock, power limit", "values": %s}' "$(json_string "$line")"
}

write_json() {
  local i
  {
    printf '{\n "result": %s,\n "gpu": %s,\n "seconds": %d,\n "gpu_tests": %d,\n "parts": [' "$(json_string "$1")" "$(gpu_facts)" "$SECONDS" "$GPU_TESTS"
    for i in "${!PARTS[@]}"; do printf '%s\n  %s' "$( ((i > 0)) && printf ,)" "${PARTS[i]}"; done
    printf '\n ],\n "bench": ['
    for i in "${!BENCHES[@]}"; do printf '%s\n%s' "$( ((i > 0)) && printf ,)" "$(<"${BENCHES[i]}")"; done
    printf '\n ]\n}\n'
  } >"$OUT/device_check.json.part" && mv "$OUT/device_check.json.part" "$OUT/device_check.json"
}

finish() {  # MESSAGE STATUS
  say "$1"
  write_json "$1"
  exit "$2"
}

if ! is_gpu_there; then finish "none: $GPU_MISSING" 1; fi
say "$(printf '%-32s %-10s %7s %7s %8s %8s' part result passed failed skipped seconds)"
run_tests
run_benches
sanitize
if ((FAILURES > 0)); then finish "failed: $FAILURES parts of ${#PARTS[@]}" 1; fi
if ((GPU_TESTS == 0)); then finish "none: no test ran on a GPU" 1; fi
finish "passed: $GPU_TESTS tests on the GPU; what was skipped, cut off or not run says so above" 0
