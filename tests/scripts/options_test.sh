#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Invalid options end with status 2 and one line that names the value and what was expected.
# shellcheck source-path=SCRIPTDIR source=expect.sh
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

# rejects MESSAGE SCRIPT OPTION...
rejects() {
  local message=$1 script=$2 found status=0
  shift 2
  found=$("$SCRIPTS/$script" --no-install "$@" 2>&1) || status=$?
  expect "$script $*: status" 2 "$status"
  expect "$script $*: message" "$script: $message; see --help" "$found"
}

rejects "unknown option '--frob'" demo.sh --frob
rejects "unknown option '--tier'" demo.sh --tier fast
rejects "--jobs needs a value" demo.sh --jobs
rejects "invalid --jobs '0': expected a whole number from 1" demo.sh --jobs 0
rejects "invalid --cuda 'maybe': expected auto, on or off" demo.sh --cuda maybe
rejects "unknown option '--frob'" format.sh --frob
rejects "--sanitize needs a value" test.sh --sanitize
rejects "invalid --tier 'all': expected fast or full" test.sh --tier all
rejects "invalid --parts 'nowhere': expected the name of a folder of tests/" test.sh --parts base,nowhere
rejects "invalid --gpu 'ampere': expected hopper" test.sh --gpu ampere
rejects "--gpu excludes --parts" test.sh --gpu hopper --parts base
rejects "--python excludes --sanitize and --fuzz" test.sh --python python3 --fuzz 5
rejects "--parts python excludes --sanitize thread: expected address,undefined" test.sh --sanitize thread --parts python
rejects "invalid --code '70': expected 80 or 90a" test.sh --code 70
rejects "--code excludes --parts, --lanes, --gpu, --sanitize and --fuzz" test.sh --code 80 --fuzz 5
rejects "invalid --fuzz '0': expected seconds, from 1" test.sh --fuzz 0
rejects "invalid --fuzzers 'nothing': expected the name of a file of tests/fuzz/" test.sh --fuzz 5 --fuzzers nothing
rejects "--fuzzers needs --fuzz SECONDS" test.sh --fuzzers npy
rejects "--tier full excludes --parts, --lanes, --gpu, --code, --sanitize, --fuzz, --python and --build" test.sh --tier full --parts base

rejects "--python needs a value" wheel.sh --python
rejects "invalid --python 'nowhere': expected an interpreter" wheel.sh --python nowhere

rejects "--out needs a value" package.sh --out
rejects "invalid --build '/nowhere': expected the folder of a build" package.sh --no-build --build /nowhere

for script in demo.sh test.sh format.sh wheel.sh package.sh; do
  status=0
  help=$("$SCRIPTS/$script" --help) || status=$?
  expect "$script --help: status" 0 "$status"
  expect "$script --help: first line" "usage: scripts/$script [options]" "$(head -n 1 <<<"${help/ \[FILE...\]/}")"
done
finish_test
