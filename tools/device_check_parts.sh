# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The steps of tools/device_check.sh and what it writes. Sourced, never run.

die() {
  printf 'device_check: %s\n' "$*" >&2
  exit 2
}

GRACE=10    # seconds that an interrupted program has to end by itself
TABLE=()    # lines
RECORDS=()  # JSON objects
BENCHES=()  # files
PREDICTED=() # lines: what was predicted of the compiled code, beside what was measured
GPU_TESTS=0 FAILURES=0
VERDICT="ended early"
ENGINE_TESTS=(promises_test generate_test golden_test edits_test running_moments_test gradients_test gradients_promises_test
  gradients_edits_test)
# What can be left out, one at a time, until a failed test passes.
SUSPECTS=(VITRINE_PDL=0 VITRINE_GRAPHS=0 VITRINE_HOPPER=0 VITRINE_FUSED=0 CUDA_LAUNCH_BLOCKING=1)

# --- what was found

json_string() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  printf '"%s"' "$(printf '%s' "$text" | tr '\000-\037' ' ')"
}

# record NAME RESULT PASSED FAILED SKIPPED SECONDS STATUS NOTE
record() {
  RECORDS+=("{\"name\": $(json_string "$1"), \"result\": \"$2\", \"passed\": $3, \"failed\": $4, \"skipped\": $5, \"seconds\": $6, \"status\": $7, \"note\": $(json_string "$8")}")
  TABLE+=("$(printf '%-36s %-10s %7s %7s %8s %8s   %s' "$1" "$2" "$3" "$4" "$5" "$6" "$8")")
  if [[ $2 == failed ]]; then FAILURES=$((FAILURES + 1)); fi
}

not_run() { record "$1" "not run" 0 0 0 0 null "$2"; }
count() { grep -cE "$2" "$1" || true; }

write_json() {
  local i
  printf '{\n "part": "%s",\n "result": %s,\n "machine": %s,\n "seconds": %d,\n "gpu_tests": %d,\n "steps": [' "$PART" \
    "$(json_string "$VERDICT")" "$(json_string "$MACHINE")" "$SECONDS" "$GPU_TESTS"
  for i in "${!RECORDS[@]}"; do printf '%s\n  %s' "$( ((i > 0)) && printf ,)" "${RECORDS[i]}"; done
  printf '\n ],\n "bench": ['
  for i in "${!BENCHES[@]}"; do printf '%s\n%s' "$( ((i > 0)) && printf ,)" "$(<"${BENCHES[i]}")"; done
  printf '\n ]\n}\n'
}

# Whatever ends the script: three files, and the table last, where a caller sees the end of the output alone.
finish() {
  local status=$?
  trap - EXIT TERM INT
  # shellcheck disable=SC2046
  kill $(jobs -p) 2>/dev/null
  write_json >"$OUT/check_$PART.json"
  compare_with_predictions
  tar -C "$LOGS" -cJf "$OUT/logs_$PART.tar.xz" . 2>/dev/null
  rm -rf "$LOGS"
  {
    ((${#PREDICTED[@]} == 0)) || printf '%s\n' "${PREDICTED[@]}" ""
    printf '%-36s %-10s %7s %7s %8s %8s\n' step result passed failed skipped seconds
    ((${#TABLE[@]} == 0)) || printf '%s\n' "${TABLE[@]}"
    printf '%s\n' "$MACHINE" "$VERDICT"
  } | tee "$OUT/check_$PART.txt"
  exit "$status"
}

# --- running

# The path of a program; nothing if it is not there.
find_program() {
  local path
  for path in "$BUILD/bin/$1" "$BUILD/$1" "$BUILD"/cli/"$1" "$BUILD"/tests/*/"$1"; do
    if [[ -f $path && -x $path ]]; then printf '%s' "$path" && return; fi
  done
}

# tool_path NAME: one of NVIDIA's programs; nothing if it is not there. DEVICE_CHECK_TOOLS: where to look instead.
tool_path() { PATH=${DEVICE_CHECK_TOOLS-$PATH:/usr/local/cuda/bin} type -P "$1" || true; }

# Seconds for a step that may take up to $1; below 5 it is not worth beginning.
seconds_for() {
  local left=$((BUDGET - SECONDS - GRACE))
  printf '%d' $((left < $1 ? left : $1))
}

# start NAME LIMIT COMMAND...: in the background, with a log and an .end file of its status and seconds.
start() {
  local name=$1 limit log=$LOGS/$1.log begin=$SECONDS
  limit=$(seconds_for "$2")
  shift 2
  if ((limit < 5)); then
    echo "no time left" >"$LOGS/$name.left"
    return
  fi
  {
    timeout -k "$GRACE" "$limit" "$@" >"$log" 2>&1 </dev/null
    echo "$? $((SECONDS - begin)) $limit" >"$LOGS/$name.end"
  } &
}

# settle NAME: records a GoogleTest program that was started and has ended. PASSED is what passed.
settle() {
  local name=$1 log=$LOGS/$1.log status seconds limit failed skipped result=passed note=
  PASSED=0
  if [[ -e $LOGS/$name.left ]]; then not_run "$name" "no time left" && return; fi
  read -r status seconds limit <"$LOGS/$name.end"
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
  record "$name" "$result" "$PASSED" "$failed" "$skipped" "$seconds" "$status" "$note"
}

# tests NAME LIMIT COMMAND...: started, waited for, recorded.
tests() {
  start "$@"
  wait
  settle "$1"
}

# The names that failed in a log, for --gtest_filter.
failed_names() { sed -nE 's/^\[  FAILED  \] ([^ ,]+),? .*\([0-9]+ ms\)$/\1/p' "$1" | head -n 5 | paste -sd:; }

# --- the machine

MACHINE="unknown"
describe_machine() {
  MACHINE=$(nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit --format=csv,noheader \
    2>/dev/null | head -n 1)
  MACHINE="${MACHINE:-no nvidia-smi}; $(uname -r); $(nproc) cores"
  {
    nvidia-smi -q -d CLOCK,POWER,PERFORMANCE
    uname -a
    command -v ncu compute-sanitizer python3
    local name
    for name in kernels_test "${ENGINE_TESTS[@]}" vitrine vitrine-bench; do ldd "$(find_program "$name")" | grep "not found"; done
  } >"$LOGS/machine.log" 2>&1
}

is_gpu_there() {
  local program log=$LOGS/gpu.log
  program=$(find_program kernels_test)
  [[ $program ]] || { GPU_MISSING="kernels_test is not in $BUILD, so nothing can be said" && return 1; }
  timeout -k 5 60 "$program" --gtest_filter=CudaTest.AGpuIsThereToRunTheKernelsOn >"$log" 2>&1 </dev/null
  if grep -q '^\[       OK \]' "$log"; then return 0; fi
  GPU_MISSING="no GPU to test on: $(grep -A 1 -E ': Skipped$' "$log" | tail -n 1)"
  [[ $GPU_MISSING != *': ' ]] || GPU_MISSING+=$(tail -n 1 "$log")
  return 1
}

# --- first part

# generated NAME VARIABLE=VALUE...: forty greedy tokens of the bundled model, as JSON; nothing if it fails.
generated() {
  local name=$1 model=demo
  shift
  if [[ -d $BUILD/models/demo ]]; then model=$BUILD/models/demo; fi
  env "$@" timeout -k 5 30 "$(find_program vitrine)" generate --device cuda --model "$model" --prompt "The keys to the cabinet" -n 40 --json \
    >"$LOGS/$name.log" 2>"$LOGS/$name.err" </dev/null && sed -nE '/"ids"/,/\]/p' "$LOGS/$name.log"
}

smoke() {
  local filter='*LinearTest.MatchesTheOracle*cuda*:*AttentionTest.MatchesTheOracle*cuda*:*MemoryTest*cuda*' begin=$SECONDS program
  program=$(find_program kernels_test)
  # Every promise on Hopper rests on it.
  tests one_tile_by_both_instructions 30 "$program" '--gtest_filter=*BothInstructionsGiveTheSameBits*'
  tests smoke_without_early_starts 30 env VITRINE_PDL=0 "$program" "--gtest_filter=$filter"
  tests smoke 30 "$program" "--gtest_filter=$filter"
  [[ $(find_program vitrine) ]] || { not_run generate "vitrine is not in $BUILD" && return; }
  local on_gpu
  on_gpu=$(generated generate_recorded)
  if [[ $on_gpu && $on_gpu == "$(generated generate_issued VITRINE_GRAPHS=0 VITRINE_PDL=0)" ]]; then
    record generate passed 1 0 0 $((SECONDS - begin)) 0 "recorded and issued steps give the same 40 tokens"
  else
    record generate failed 0 1 0 $((SECONDS - begin)) 1 "recorded and issued steps differ, or fail: $(tail -qn 1 "$LOGS"/generate_*.err | head -n 1)"
  fi
}

# What PyTorch compiles for the second part takes it a minute of processors, which are idle now; it keeps it in its cache.
warm_peers() {
  local model=$LOGS/warm_model
  python3 -c 'import torch, transformers' 2>/dev/null && [[ $(find_program vitrine) ]] || return
  "$(find_program vitrine)" make-random "$model" --size gpt2 --init wide &&
    python3 "$(peers_folder)/transformers_peer.py" --model "$model" --device cuda --dtype bf16 --static --workload decode --batch 1 --hooks none \
      --tokens 64 --repeat 1 --out "$LOGS/warm_peers.json"
  rm -rf "$model"
}

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
peers_folder() { if [[ -d $BUILD/peers ]]; then echo "$BUILD/peers"; else echo "$HERE/../bench/peers"; fi; }

SHARDS=6
all_tests() {
  local name program i
  program=$(find_program kernels_test)
  for ((i = 0; i < SHARDS; ++i)); do
    start "kernels_test_$i" 110 env GTEST_TOTAL_SHARDS=$SHARDS GTEST_SHARD_INDEX=$i "$program" '--gtest_filter=*cuda*:CudaTest.*'
  done
  for name in "${ENGINE_TESTS[@]}"; do
    program=$(find_program "$name")
    if [[ $program ]]; then start "$name" 110 "$program"; else not_run "$name" "$name is not in $BUILD"; fi
  done
  timeout -k 5 110 bash -c "$(declare -f warm_peers peers_folder find_program); BUILD='$BUILD' LOGS='$LOGS' HERE='$HERE'; warm_peers" >"$LOGS/warm_peers.log" 2>&1 </dev/null &
  wait
  for ((i = 0; i < SHARDS; ++i)); do
    settle "kernels_test_$i"
    GPU_TESTS=$((GPU_TESTS + PASSED))
  done
  for name in "${ENGINE_TESTS[@]}"; do
    [[ -e $LOGS/$name.end || -e $LOGS/$name.left ]] || continue
    settle "$name"
    GPU_TESTS=$((GPU_TESTS + PASSED))
  done
}

# Runs what failed again, as it was and with each suspect left out, and says what made it pass.
triage() {
  local log name program filter suspect begin=$SECONDS
  for log in "$LOGS"/kernels_test_*.log "$LOGS"/*_test.log; do
    [[ -e $log ]] || continue
    filter=$(failed_names "$log")
    [[ $filter ]] || continue
    name=$(basename "$log" .log)
    program=$(find_program "${name%_[0-9]}")
    local cured=()
    for suspect in NONE=1 "${SUSPECTS[@]}"; do
      (($(seconds_for 20) >= 5)) || break
      if env "$suspect" timeout -k 5 20 "$program" "--gtest_filter=$filter" >"$LOGS/triage_${name}_${suspect%%=*}.log" 2>&1 </dev/null; then
        cured+=("$suspect")
      fi
    done
    case "${cured[*]}" in
      "") record "triage $name" passed 0 0 0 $((SECONDS - begin)) null "fails with each of them left out: $filter" ;;
      NONE=1*) record "triage $name" passed 0 0 0 $((SECONDS - begin)) null "passes when run again: a race, or too busy: $filter" ;;
      *) record "triage $name" passed 0 0 0 $((SECONDS - begin)) null "passes with ${cured[*]}: $filter" ;;
    esac
    sanitize_filter "$name" "$program" "$filter" memcheck
  done
}

hunt_races() {
  local program filter='*OneRowOrManyGiveTheSameBits*cuda*:*CachedAndRecomputedPasses*cuda*' i same=1
  program=$(find_program kernels_test)
  tests race_hunt_kernels 45 "$program" "--gtest_filter=$filter" --gtest_repeat=40
  program=$(find_program generate_test)
  [[ ! $program ]] || tests race_hunt_generation 45 "$program" '--gtest_filter=*RecordedSteps*:*GreedyIsTheArgmax*' --gtest_repeat=40
  [[ $(find_program vitrine) ]] || return
  local begin=$SECONDS first
  first=$(generated race_0 NONE=1)
  for ((i = 1; i < 20 && $(seconds_for 10) >= 5; ++i)); do
    [[ $(generated race_$i NONE=1) == "$first" ]] || same=0
  done
  if ((same)) && [[ $first ]]; then
    record race_hunt_tokens passed "$i" 0 0 $((SECONDS - begin)) 0 ""
  else
    record race_hunt_tokens failed 0 1 0 $((SECONDS - begin)) 1 "generations of the same prompt differ"
  fi
}

# sanitize_filter NAME PROGRAM FILTER TOOL: compute-sanitizer is given the program itself, for it does not follow a script.
sanitize_filter() {
  local tool=$4 sanitizer
  sanitizer=$(tool_path compute-sanitizer)
  [[ $sanitizer ]] || { not_run "$tool $1" "compute-sanitizer is not on this machine" && return; }
  tests "${tool}_$1" 40 "$sanitizer" --tool "$tool" --error-exitcode 99 --target-processes all "$2" "--gtest_filter=$3"
}

# The first case of every suite: sanitizers take a hundred times as long.
first_cases() {
  "$1" --gtest_list_tests '--gtest_filter=*cuda*' 2>/dev/null | awk '
    /^[^ ]/ { suite = $1; wanted = 1; next }
    wanted { printf "%s%s%s", separator, suite, $1; separator = ":"; wanted = 0 }'
}

sanitize() {
  local tool program
  program=$(find_program kernels_test)
  for tool; do sanitize_filter kernels_test "$program" "$(first_cases "$program")" "$tool"; done
}

# --- second part

# bench NAME LIMIT ENVIRONMENT OPTION...: cut off in time, it hands over what it has measured.
bench() {
  local name=$1 limit environment=$3 out=$LOGS/$1.json log=$LOGS/$1.txt begin=$SECONDS status program rows=0
  limit=$(seconds_for "$2")
  shift 3
  program=$(find_program vitrine-bench)
  if [[ ! $program ]]; then not_run "$name" "vitrine-bench is not in $BUILD" && return; fi
  if ((limit < 5)); then not_run "$name" "no time left" && return; fi
  # shellcheck disable=SC2086
  env $environment timeout -s INT -k "$GRACE" "$limit" "$program" --device cuda --width 0 --out "$out" "$@" >"$log" 2>&1 </dev/null
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

decoding() {
  local common=(--dtype bf16 --workload decode --decode-batch 1 --repeat 3)
  bench decode_small 30 "" --size gpt2 "${common[@]}" --hooks none,residual --decode-prompt 16,960
  bench decode_xl 40 "" --size gpt2-xl "${common[@]}" --hooks none,residual --decode-prompt 16,960
  bench decode_small_without_early_starts 15 VITRINE_PDL=0 --size gpt2 "${common[@]}" --hooks none
  bench decode_small_issued 15 VITRINE_GRAPHS=0 --size gpt2 "${common[@]}" --hooks none
}

# Time, bytes and instructions of each kernel of a few issued steps.
kernel_shares() {
  local size program begin=$SECONDS ncu
  ncu=$(tool_path ncu)
  program=$(find_program vitrine-bench)
  [[ $ncu && $program ]] || { not_run kernel_shares "ncu or vitrine-bench is not on this machine" && return; }
  for size in gpt2 gpt2-xl; do
    (($(seconds_for 25) >= 10)) || { not_run "kernel_shares_$size" "no time left" && continue; }
    if VITRINE_GRAPHS=0 timeout -k 5 "$(seconds_for 25)" "$ncu" --clock-control none --target-processes all --csv --launch-skip 200 \
      --launch-count 300 --metrics gpu__time_duration.sum,dram__bytes.sum,smsp__inst_executed.sum,launch__registers_per_thread \
      "$program" --device cuda --size $size --dtype bf16 --workload decode --decode-batch 1 --repeat 1 --tokens 8 --hooks none \
      >"$LOGS/kernel_shares_$size.csv" 2>&1 </dev/null; then
      record "kernel_shares_$size" passed 1 0 0 $((SECONDS - begin)) 0 "kernel_shares_$size.csv"
    else
      record "kernel_shares_$size" "cut off" 0 0 0 $((SECONDS - begin)) null "$(tail -n 1 "$LOGS/kernel_shares_$size.csv")"
    fi
  done
}

prompts() {
  bench prompts_small 35 "" --size gpt2 --dtype bf16 --workload prefill,forward,attention,linear --batch 1,8 --prompt 1024 --hooks none,maps --repeat 3
  bench prompts_xl 35 "" --size gpt2-xl --dtype bf16 --workload prefill,attention --batch 1,8 --prompt 1024 --hooks none --repeat 3
}

# Kernels and passes that tools/gpu_model.py predicted when the bundle was made: the largest differences go above the table.
compare_with_predictions() {
  local model size log
  model=$HERE/gpu_model.py
  [[ $PART == second && -f $BUILD/predicted.json && -f $model ]] || return 0
  for size in gpt2 gpt2-xl; do
    log=$LOGS/kernel_shares_$size
    [[ -s $log.csv ]] || continue
    python3 "$model" --predicted "$BUILD/predicted.json" --size "$size" --measured "$log.csv" >"$log.compared" 2>&1
    PREDICTED+=("kernels of a decoded step, $size (kernel_shares_$size.compared has all):")
    mapfile -t -O "${#PREDICTED[@]}" PREDICTED < <(head -n 12 "$log.compared")
  done
  python3 "$model" --predicted "$BUILD/predicted.json" --bench "$OUT/check_$PART.json" >"$LOGS/passes.compared" 2>&1
  mapfile -t -O "${#PREDICTED[@]}" PREDICTED <"$LOGS/passes.compared"
}

# The same work by PyTorch and transformers, on this machine, in the same run.
peers() {
  local model=$LOGS/model
  python3 -c 'import torch, transformers, safetensors' 2>"$LOGS/peers.log" || { not_run peers "PyTorch, transformers or safetensors is missing" && return; }
  timeout -k 5 30 "$(find_program vitrine)" make-random "$model" --size gpt2 --init wide >>"$LOGS/peers.log" 2>&1 ||
    { not_run peers "no model was made: $(tail -n 1 "$LOGS/peers.log")" && return; }
  peer transformers_static 45 transformers --static --workload decode --batch 1 --tokens 64 --hooks none
  peer operations 20 operations --batch 1,8 --prompt 1024 --rows 1,64,1024,8192 --repeat 3
  peer transformers 25 transformers --workload forward,prefill --batch 1,8 --prompt 1000 --hooks none,maps --repeat 3
  peer pytorch 25 pytorch --workload decode,prefill --batch 1,8 --prompt 1000 --hooks none --tokens 64 --repeat 3
  if python3 -c 'import transformer_lens' 2>/dev/null; then
    peer transformer_lens 25 transformer_lens --batch 1 --prompt 1000 --hooks none,everything --repeat 3
  else
    not_run peer_transformer_lens "TransformerLens is not on this machine"
  fi
  rm -rf "$model"
}

# peer NAME LIMIT SCRIPT OPTION...: what it compiles is kept between the two parts.
peer() {
  local name=peer_$1 limit script=$3 begin=$SECONDS log=$LOGS/peer_$1.log
  limit=$(seconds_for "$2")
  shift 3
  if ((limit < 5)); then not_run "$name" "no time left" && return; fi
  if timeout -k 5 "$limit" python3 "$(peers_folder)/${script}_peer.py" --model "$model" --device cuda --dtype bf16 --out "$LOGS/$name.json" "$@" \
    >"$log" 2>&1 </dev/null; then
    BENCHES+=("$LOGS/$name.json")
    record "$name" passed 1 0 0 $((SECONDS - begin)) 0 "$(tail -n 1 "$log")"
  else
    record "$name" "cut off" 0 0 0 $((SECONDS - begin)) null "$(tail -n 1 "$log")"
  fi
}

other_sizes() {
  bench saliency_small 20 "" --size gpt2 --dtype bf16 --workload saliency,lens,score --repeat 3
  bench decode_large 15 "" --size gpt2-large --dtype bf16 --workload decode --decode-batch 1,8,64 --hooks none --repeat 3
  bench decode_small_f32 15 "" --size gpt2 --dtype f32 --workload decode,prefill --decode-batch 1 --batch 1 --hooks none --repeat 3
}
