# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What the tests of the scripts share. Sourced, never run.

# shellcheck disable=SC2034
SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../scripts" && pwd)
FAILURES=0

# expect WHAT WANTED FOUND
expect() {
  [[ $2 != "$3" ]] || return 0
  printf '%s:\n  expected: %s\n  found:    %s\n' "$1" "$2" "$3" >&2
  FAILURES=$((FAILURES + 1))
}

# Ends the test.
finish_test() {
  ((FAILURES == 0)) || exit 1
  echo "ok"
}
