#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what the tests need, builds, and runs them. The last line is the count: N passed, N failed, N skipped.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<TEXT
usage: scripts/test.sh [options]

Installs missing Debian packages, builds Vitrine and its tests, and runs the tests.

  --sanitize LIST   build with these sanitizers: address,undefined or thread
  --jobs N          compile and test this many at a time (default: the number of cores)
  --build DIR       build there (default: build/, or build-LIST/ with sanitizers)
  --no-install      install nothing
TEXT
}

parse_options "$@"
ensure_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}"
drop_sudo
# Benchmarks and examples under sanitizers would be compiled for nobody.
extras=ON
[[ $SANITIZE ]] && extras=OFF
configure_and_build all -DVITRINE_BUILD_TESTS=ON "-DVITRINE_BUILD_EXAMPLES=$extras" "-DVITRINE_BUILD_BENCH=$extras"

# A sanitizer's finding ends the test. Allocations that cannot be had fail as they do without the sanitizer.
export ASAN_OPTIONS=${ASAN_OPTIONS:-allocator_may_return_null=1:detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}

# Shows what did not pass with its output, and how far the run is; the log has everything.
log=$BUILD/tests.log
started=$SECONDS
status=0
ctest --test-dir "$BUILD" --output-on-failure --no-tests=error -j "$JOBS" </dev/null 2>&1 | tee "$log" | awk '
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
  /^(Internal ctest|Test project|Total Test time|[0-9]+% tests passed)/ || /^ *$/ { next }
  { print; fflush() }' || status=$?

# Tests that never reported, because ctest itself was ended, count as failed.
read -r passed skipped total < <(awk '
  /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
    split($1, at, "/")
    total = at[2] > total ? at[2] : total
    if (/ Passed +[0-9.]+ sec *$/) ++passed
    if (/\*\*\*(Skipped|Not Run \(Disabled\)) +[0-9.]+ sec *$/) ++skipped
  }
  END { print passed + 0, skipped + 0, total + 0 }' "$log")
failed=$((total - passed - skipped))
if ((skipped)); then
  say "Skipped:"
  sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: ([^ ]+) .*\*\*\*Skipped .*/  \1/p' "$log"
fi
say "Tested in $((SECONDS - started)) s; everything is in $log"
say "$passed passed, $failed failed, $skipped skipped"
((status == 0 && failed == 0 && passed > 0))
