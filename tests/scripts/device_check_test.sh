#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# tools/device_check.sh with programs that are made up: what it records, what it blames, which files it leaves.
# shellcheck source-path=SCRIPTDIR source=expect.sh
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
CHECK=$SCRIPTS/../tools/device_check.sh
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
export DEVICE_CHECK_TOOLS=$WORK/tools
mkdir "$DEVICE_CHECK_TOOLS"

# A GoogleTest program of one test that passes unless its body, a condition, fails.
program() {  # NAME CONDITION
  cat >"$BUILD/bin/$1" <<TEXT
#!/usr/bin/env bash
case "\$*" in
  *AGpuIsThere*) echo "[       OK ] CudaTest.AGpuIsThereToRunTheKernelsOn (1 ms)" && exit 0 ;;
  *--gtest_list_tests*) printf 'Suite.\n  Case/cuda\n' && exit 0 ;;
esac
if $2; then echo "[       OK ] $1.Works/cuda (1 ms)"; else echo "[  FAILED  ] $1.Works/cuda, where GetParam() = cuda (1 ms)" && exit 1; fi
TEXT
  chmod +x "$BUILD/bin/$1"
}

# A build in which everything works.
build() {
  BUILD=$WORK/$1
  mkdir -p "$BUILD/bin"
  local name
  for name in kernels_test promises_test generate_test golden_test edits_test running_moments_test gradients_test gradients_promises_test \
    gradients_edits_test; do
    program "$name" true
  done
  printf '#!/usr/bin/env bash\nprintf %%s\\\\n "{" "\\"ids\\": [" "1" "]" "}"\n' >"$BUILD/bin/vitrine"
  chmod +x "$BUILD/bin/vitrine"
}

# check NAME PART: its output and status.
check() {
  STATUS=0
  FOUND=$(DEVICE_CHECK_SECONDS=${SECONDS_FOR_ALL:-120} "$CHECK" "$2" "$BUILD" "$WORK/out_$1" 2>&1) || STATUS=$?
}
lines_with() { grep -cF "$1" <<<"$FOUND" || true; }

build good
check good first
expect "a good build: status" 0 "$STATUS"
expect "a good build: last line" "passed: 14 tests on the GPU; what was skipped, cut off or not run says so above" "$(tail -n 1 <<<"$FOUND")"
expect "three files" "check_first.json check_first.txt logs_first.tar.xz" "$(cd "$WORK/out_good" && echo *)"
expect "the JSON is whole" "14" "$(python3 -c "import json; print(json.load(open('$WORK/out_good/check_first.json'))['gpu_tests'])")"
expect "the logs are packed" 1 "$(tar -tf "$WORK/out_good/logs_first.tar.xz" | grep -cx ./promises_test.log)"

build early
# shellcheck disable=SC2016
program promises_test '[[ ${VITRINE_PDL-} == 0 ]]'
check early first
expect "a fault of early starts: status" 1 "$STATUS"
expect "a fault of early starts is placed" 1 "$(lines_with 'passes with VITRINE_PDL=0: promises_test.Works/cuda')"

build whole
program golden_test false
check whole first
expect "a fault of everything is placed" 1 "$(lines_with 'fails with each of them left out: golden_test.Works/cuda')"

build stuck
program edits_test 'sleep 60'
SECONDS_FOR_ALL=25 check stuck first
expect "a program that hangs: status" 1 "$STATUS"
expect "a program that hangs is cut off" 1 "$(grep -c '^edits_test .*cut off after' <<<"$FOUND" || true)"
expect "a tool that is not there is named" 1 "$(grep -c '^memcheck kernels_test .*compute-sanitizer is not on this machine' <<<"$FOUND" || true)"

build second
check second second
expect "without vitrine-bench: status" 0 "$STATUS"
expect "without vitrine-bench: decoding is not run" 1 "$(grep -c '^decode_small .*not run .*vitrine-bench is not in' <<<"$FOUND" || true)"

# The same with programs that measure: what was predicted of a kernel stands above the table.
build predicted
cat >"$BUILD/bin/vitrine-bench" <<'TEXT'
#!/usr/bin/env bash
while [[ $1 && $1 != --out ]]; do shift; done
printf '{"rows": [{"model": "gpt2", "workload": "decode", "shape": "batch 1 after 16", "hooks": null, "dtype": "bf16", "seconds": {"median": 3e-4}}]}' >"$2"
TEXT
cat >"$DEVICE_CHECK_TOOLS/ncu" <<'TEXT'
#!/usr/bin/env bash
printf '%s\n' '"Kernel Name","Grid Size","Metric Name","Metric Unit","Metric Value"' '"f(int)","(2, 1, 1)","gpu__time_duration.sum","ns","6,000"'
TEXT
chmod +x "$BUILD/bin/vitrine-bench" "$DEVICE_CHECK_TOOLS/ncu"
cat >"$BUILD/predicted.json" <<'TEXT'
[{"size": "gpt2", "name": "gpt2: decode, 1 row after 16", "workload": "decode", "batch": 1, "tokens": 16, "hooks": "none", "ms": 0.1,
  "kernels": [{"kernel": "f(int)", "short": "f", "grid": "2,1,1", "launches": 12, "alone_us": 3.0, "limit": "memory"}]}]
TEXT
check predicted second
expect "with predictions: status" 0 "$STATUS"
expect "with predictions: a kernel measured twice as long" 1 "$(grep -cE '^f +2,1,1 +12 +3\.00 +6\.00 +2\.00 +\+36\.0 +memory' <<<"$FOUND" || true)"
expect "with predictions: a pass" 1 "$(grep -cE '^gpt2: decode, 1 row after 16 +0\.1000 +0\.3000 +3\.00$' <<<"$FOUND" || true)"
expect "with predictions: the table is last" "step" "$(awk '$1 == "f" { seen = 1 } seen && $1 == "step" { print $1; exit }' <<<"$FOUND")"
rm "$DEVICE_CHECK_TOOLS/ncu"

build absent
rm "$BUILD/bin/kernels_test"
check absent first
expect "without a program: status" 1 "$STATUS"
expect "without a program: last line" "none: kernels_test is not in $BUILD, so nothing can be said" "$(tail -n 1 <<<"$FOUND")"

for wrong in "third $BUILD $WORK/x" "first $WORK/nowhere $WORK/x" "first $BUILD"; do
  status=0
  # shellcheck disable=SC2086
  "$CHECK" $wrong >/dev/null 2>&1 || status=$?
  expect "device_check.sh $wrong: status" 2 "$status"
done
finish_test
