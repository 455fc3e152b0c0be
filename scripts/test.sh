#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what the tests need, builds, and runs them. The last line is the count: N passed, N
# failed, N skipped.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<TEXT
usage: scripts/test.sh [options]

Installs missing Debian packages, builds Vitrine and its tests, and runs the tests.

  --tier TIER       fast: every test once (default)
                    full: also the emulated GPU with its lanes in descending order and as a Hopper,
                    the machine code for Ampere, the sanitizers address, undefined and thread, and
                    each fuzzer for 60 seconds
  --parts LIST      only the tests in these folders of tests/, separated by commas: base,kernels
  --lanes ORDER     descending: only the tests of the emulated GPU that run its lanes backwards
  --gpu GENERATION  hopper: only the tests of the emulated GPU, as one of compute capability 9.0 whose
                    tensor cores round as a Hopper's do; otherwise it is an Ampere, 8.0
  --code TARGET     80 or 90a: compile the CUDA code for this target alone, and test its machine code
  --sanitize LIST   build with Clang and these sanitizers: address,undefined or thread; with --parts python, address,undefined over
                    the Python extension
  --fuzz SECONDS    run each fuzzer for this long instead of the tests
  --fuzzers LIST    only these fuzzers, separated by commas: npy,csv
  --werror          treat warnings as errors
  --cuda MODE       auto: compile the CUDA code if nvcc is found (default); on; off
  --python PROGRAM  the interpreter for the Python package: with nanobind, numpy, pytest; with torch, the
                    tests that need it run, too (default: one without torch, in the build folder)
  --jobs N          compile and test this many at a time (default: the number of cores)
  --build DIR       build there (default: build/, build-LIST/ with sanitizers, build-code-TARGET/)
  --no-install      install nothing
TEXT
}

TIER=fast PARTS='' LANES='' GPU='' CODE='' SANITIZE='' FUZZ='' FUZZERS='' PYTHON='' WERROR=0
parse_own_option() {
  case $1 in
    --werror)
      WERROR=1
      TAKEN=1
      return
      ;;
    --tier | --parts | --lanes | --gpu | --code | --sanitize | --fuzz | --fuzzers | --python) ;;
    *) return ;;
  esac
  (($# >= 2)) || usage_error "$1 needs a value"
  TAKEN=2
  case $1 in
    --tier) TIER=$2 ;;
    --parts) PARTS=$2 ;;
    --lanes) LANES=$2 ;;
    --gpu) GPU=$2 ;;
    --code) CODE=$2 ;;
    --sanitize) SANITIZE=$2 ;;
    --fuzz) FUZZ=$2 ;;
    --fuzzers) FUZZERS=$2 ;;
    --python) PYTHON=$2 ;;
  esac
}

check_options() {
  local part
  [[ $TIER =~ ^(fast|full)$ ]] || usage_error "invalid --tier '$TIER': expected fast or full"
  [[ $LANES =~ ^(descending)?$ ]] || usage_error "invalid --lanes '$LANES': expected descending"
  [[ $GPU =~ ^(hopper)?$ ]] || usage_error "invalid --gpu '$GPU': expected hopper"
  [[ $CODE =~ ^(80|90a)?$ ]] || usage_error "invalid --code '$CODE': expected 80 or 90a"
  [[ ! $CODE || ! $PARTS$LANES$GPU$SANITIZE$FUZZ ]] ||
    usage_error "--code excludes --parts, --lanes, --gpu, --sanitize and --fuzz"
  [[ $FUZZ =~ ^([1-9][0-9]*)?$ ]] || usage_error "invalid --fuzz '$FUZZ': expected seconds, from 1"
  [[ $SANITIZE =~ ^([a-z]+(,[a-z]+)*)?$ ]] ||
    usage_error "invalid --sanitize '$SANITIZE': expected address,undefined or thread"
  for part in ${PARTS//,/ }; do
    [[ -e $ROOT/tests/$part/CMakeLists.txt ]] ||
      usage_error "invalid --parts '$part': expected the name of a folder of tests/"
  done
  for part in ${FUZZERS//,/ }; do
    [[ -e $ROOT/tests/fuzz/$part.cc ]] ||
      usage_error "invalid --fuzzers '$part': expected the name of a file of tests/fuzz/"
  done
  [[ ! $FUZZERS || $FUZZ ]] || usage_error "--fuzzers needs --fuzz SECONDS"
  [[ ! $LANES$GPU || ! $SANITIZE$FUZZ ]] || usage_error "--lanes and --gpu exclude --sanitize and --fuzz"
  [[ ! $GPU || ! $PARTS ]] || usage_error "--gpu excludes --parts"
  [[ ! $FUZZ || ! $SANITIZE$PARTS ]] || usage_error "--fuzz excludes --sanitize and --parts"
  [[ ,$PARTS, != *,python,* || ! $SANITIZE || $SANITIZE == address,undefined ]] ||
    usage_error "--parts python excludes --sanitize $SANITIZE: expected address,undefined"
  [[ ! $PYTHON || ! $SANITIZE$FUZZ ]] || usage_error "--python excludes --sanitize and --fuzz"
  [[ $TIER == fast || ! $PARTS$LANES$GPU$CODE$SANITIZE$FUZZ$PYTHON$BUILD ]] ||
    usage_error "--tier full excludes --parts, --lanes, --gpu, --code, --sanitize, --fuzz, --python and --build"
}

# Every step of the full tier, also after a failure. The last line counts over all of them.
run_full_tier() {
  local common=(--jobs "$JOBS") steps=("--cuda $CUDA" "--lanes descending --cuda $CUDA" "--gpu hopper --cuda $CUDA"
    "--sanitize address,undefined" "--sanitize address,undefined --parts python"
    "--sanitize thread --parts kernels,engine" "--fuzz 60") step log
  local passed=0 failed=0 skipped=0 status=0 counts started
  # Hopper's is in the first step.
  [[ $CUDA == off ]] || ! find_nvcc >/dev/null || steps+=("--code 80")
  ((INSTALL)) || common+=(--no-install)
  ((!WERROR)) || common+=(--werror)
  log=$(mktemp)
  for step in "${steps[@]}"; do
    printf '\n== scripts/test.sh %s\n' "$step"
    started=$SECONDS
    # shellcheck disable=SC2086
    "$ROOT/scripts/test.sh" "${common[@]}" $step 2>&1 | tee "$log" || status=1
    read -r -a counts < <(counts_of "$log") || status=1
    passed=$((passed + ${counts[0]:-0}))
    failed=$((failed + ${counts[1]:-0}))
    skipped=$((skipped + ${counts[2]:-0}))
    printf '== %d s\n' $((SECONDS - started))
  done
  rm -f "$log"
  printf '\n'
  say "$passed passed, $failed failed, $skipped skipped"
  ((status == 0 && failed == 0 && passed > 0))
}

# The CUDA code compiled for CODE, whatever GPU this machine has; nothing else.
configure_code() {
  local nvcc
  nvcc=$(find_nvcc) || die "--code $CODE: no CUDA compiler (nvcc) was found; install CUDA 12.4 or later"
  find_disassembler "$nvcc"
  options+=(-DCMAKE_BUILD_TYPE=Release -DVITRINE_BUILD_EXAMPLES=OFF -DVITRINE_BUILD_BENCH=OFF
    -DVITRINE_CUDA=ON "-DVITRINE_CUDA_ARCHITECTURES=$CODE-real" "-DCMAKE_CUDA_COMPILER=$nvcc"
    "-DVITRINE_CUOBJDUMP=$DISASSEMBLER")
}

# What CMake is told for this run.
configure_tests() {
  local options=(-DVITRINE_BUILD_TESTS=ON)
  ((!WERROR)) || options+=(-DCMAKE_COMPILE_WARNING_AS_ERROR=ON)
  if [[ $CODE ]]; then
    configure_code
  elif [[ $SANITIZE ]]; then
    # Assertions of the standard library on, lines in the stack traces, and enough optimisation
    # for the tests to finish. Clang alone has fuzzers. No sanitizer covers GPU code; its sources
    # run under these on the CPU (tests/cuda_on_host).
    options+=(-DCMAKE_CXX_COMPILER=clang++-14 -DCMAKE_BUILD_TYPE=Debug -DVITRINE_CUDA=OFF
      "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1 -D_GLIBCXX_ASSERTIONS"
      -DVITRINE_BUILD_EXAMPLES=OFF -DVITRINE_BUILD_BENCH=OFF -DVITRINE_BUILD_PYTHON=OFF)
    if [[ ,$PARTS, == *,python,* ]]; then
      find_python
      [[ ! $PYTHON ]] || options+=(-DVITRINE_BUILD_PYTHON=ON "-DPython_EXECUTABLE=$PYTHON")
    fi
    if [[ $SANITIZE == address,undefined ]]; then
      options+=("-DVITRINE_SANITIZE=$SANITIZE,fuzzer-no-link" -DVITRINE_BUILD_FUZZERS=ON)
    else
      # File by file, which shows an include that is missing.
      options+=("-DVITRINE_SANITIZE=$SANITIZE" -DVITRINE_BUILD_FUZZERS=OFF -DVITRINE_UNITY=OFF)
    fi
  else
    # One target shows whether the CUDA code compiles; the full tier looks at the other's.
    choose_cuda 90a-real
    say "$CUDA_CHOICE"
    options+=(-DCMAKE_BUILD_TYPE=Release -DVITRINE_SANITIZE= -DVITRINE_BUILD_EXAMPLES=ON
      -DVITRINE_BUILD_BENCH=ON "${CUDA_OPTIONS[@]}")
    find_python
    [[ ! $PYTHON ]] || options+=(-DVITRINE_BUILD_PYTHON=ON "-DPython_EXECUTABLE=$PYTHON")
    if [[ ${CUDA_OPTIONS[0]} == -DVITRINE_CUDA=ON ]]; then
      find_disassembler "$(find_nvcc)"
      options+=("-DVITRINE_CUOBJDUMP=$DISASSEMBLER")
    fi
  fi
  configure "${options[@]}"
}

# A sanitizer's finding ends the test. Allocations that are too large fail as without the sanitizer.
set_sanitizer_options() {
  local trace=allow_addr2line=1 allocations=allocator_may_return_null=1
  export ASAN_OPTIONS=${ASAN_OPTIONS:-$trace:$allocations:detect_stack_use_after_return=1}
  export UBSAN_OPTIONS=${UBSAN_OPTIONS:-$trace:print_stacktrace=1}
  # Suppressed is what libraries without instrumentation do inside themselves, because half of
  # their synchronisation is invisible. No code of this project is suppressed.
  export TSAN_OPTIONS=${TSAN_OPTIONS:-$trace:$allocations:ignore_noninstrumented_modules=1}
}

# run_ctest FOLDER OPTION...: shows what did not pass with its output, and the progress; the log has
# everything.
run_ctest() {
  ctest --test-dir "$1" --output-on-failure --no-tests=error -j "$JOBS" "${@:2}" </dev/null 2>&1 |
    tee -a "$LOG" | live_awk '
    /^ *Start +[0-9]+: / { next }
    /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
      split($1, at, "/")
      if (at[1] * 10 >= tenth * at[2]) {
        while (at[1] * 10 >= tenth * at[2]) ++tenth
        printf "%s tests\n", $1
        fflush()
      }
      if (/ Passed +[0-9.]+ sec *$/ || /\*\*\*Skipped +[0-9.]+ sec *$/) next
    }
    BEGIN { tenth = 1 }
    /^The following tests did not run:/ { over = 1 }
    /^The following tests FAILED:/ { over = 0 }
    over { next }
    /^(Internal ctest|Test project|Total Test time|Label Time Summary)/ { next }
    /^[0-9]+% tests passed/ { next }
    /^ *$/ || /^[a-z]+ *= +[0-9.]+ sec\*proc/ { next }
    { print; fflush() }'
}

# count_tests all|reported: "passed skipped failed" over the log. Tests that never reported, because
# ctest itself was ended, are failures, unless only those that reported count.
count_tests() {
  awk -v every="$([[ $1 == all ]] && echo 1)" '
    /^(Internal ctest changing into directory|Test project)/ { total += of; of = 0 }
    /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
      split($1, at, "/")
      of = at[2]
      ++reported
      if (/ Passed +[0-9.]+ sec *$/) ++passed
      if (/\*\*\*(Skipped|Not Run \(Disabled\)) +[0-9.]+ sec *$/) ++skipped
    }
    END {
      total += of
      print passed + 0, skipped + 0, (every ? total : reported) - passed - skipped
    }' "$LOG"
}

# finish all|reported STATUS: the closing lines.
finish() {
  local passed skipped failed
  read -r passed skipped failed < <(count_tests "$1")
  if ((skipped)); then
    say "Skipped:"
    sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) .*\*\*\*Skipped .*/  \1/p' "$LOG"
  fi
  say "Tested in $((SECONDS - STARTED)) s; everything is in $LOG"
  say "$passed passed, $failed failed, $skipped skipped"
  (($2 == 0 && failed == 0 && passed > 0))
}

# run_tests FOLDER...: in the folders of the build, or in its root.
run_tests() {
  local folder status=0 filter=(-LE 'fuzz|descending')
  [[ ! $LANES ]] || filter=(-L descending)
  [[ ! $GPU ]] || export VITRINE_EMULATED_CAPABILITY=90
  if [[ $FUZZ ]]; then
    export VITRINE_FUZZ_SECONDS=$FUZZ
    filter=(-L fuzz)
    [[ ! $FUZZERS ]] || filter=(-R "^Fuzz\\.(${FUZZERS//,/|})\$")
  fi
  LOG=$BUILD/tests.log
  STARTED=$SECONDS
  : >"$LOG"
  # A run that is stopped from outside still says what it found.
  trap 'finish reported 1 || true; exit 143' TERM
  for folder in "${@:-.}"; do run_ctest "$BUILD/$folder" "${filter[@]}" || status=1; done
  trap - TERM
  finish all "$status"
}

parse_options "$@"
check_options
if [[ $TIER == full ]]; then
  run_full_tier
  exit
fi
[[ ! $FUZZ ]] || SANITIZE=address,undefined
# Objects with and without sanitizers never share a folder.
set_build_folder "build${SANITIZE:+-${SANITIZE//,/-}}${CODE:+-code-$CODE}"
ensure_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" ${SANITIZE:+"${CLANG_PACKAGES[@]}"}
drop_sudo
configure_tests
set_sanitizer_options
if [[ $FUZZ ]]; then
  mapfile -t names < <(tr , '\n' <<<"$FUZZERS")
  [[ $FUZZERS ]] || mapfile -t names < <(cd "$ROOT/tests/fuzz" && basename -s .cc -- *.cc)
  build "${names[@]/#/fuzz_}"
  run_tests tests/fuzz
elif [[ $PARTS || $LANES || $GPU || $CODE ]]; then
  folders=()
  for part in ${PARTS//,/ }; do folders+=("tests/$part"); done
  [[ ! $LANES$GPU || $PARTS ]] || folders=(tests/cuda_on_host)
  [[ ! $CODE ]] || folders=(tests/cuda_code)
  build "${folders[@]/%//all}"
  run_tests "${folders[@]}"
else
  build all
  run_tests
fi
