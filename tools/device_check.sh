#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs what only a machine with a GPU can say, in two parts that fit a short loan: see usage(). Needs bash and the built programs;
# compute-sanitizer, ncu and PyTorch are used where they are.

set -uo pipefail
# shellcheck source-path=SCRIPTDIR source=device_check_parts.sh
. "$(dirname "${BASH_SOURCE[0]}")/device_check_parts.sh"

usage() {
  cat <<TEXT
usage: tools/device_check.sh PART BUILD_DIR OUT_DIR

PART        first: the machine, a smoke test, the kernels' and the engine's tests side by side, where anything failed which
            part of the backend is at fault, and a hunt for races
            second: decoding, what each kernel takes, passes over prompts, the peers in PyTorch, other sizes
BUILD_DIR   where the programs are: a build folder, or what tools/bundle_device.sh made
OUT_DIR     gets check_PART.json, check_PART.txt (the table, also the last thing printed) and logs_PART.tar.xz, whenever it ends

A part ends within DEVICE_CHECK_SECONDS (default 285); what does not fit is said to be left out. The status is 0 only if everything that
ran passed and, in the first part, at least one test ran on a GPU.
TEXT
}

if [[ ${1-} == -h || ${1-} == --help ]]; then usage && exit 0; fi
(($# == 3)) || die "expected PART BUILD_DIR OUT_DIR; see --help"
[[ $1 == first || $1 == second ]] || die "invalid PART '$1': expected first or second"
[[ -d $2 ]] || die "$2 is not a folder: expected the folder of a build, or of a bundle"
PART=$1
BUILD=$(cd "$2" && pwd)
mkdir -p "$3" || die "$3 cannot be created"
OUT=$(cd "$3" && pwd)
BUDGET=${DEVICE_CHECK_SECONDS:-285}
[[ $BUDGET =~ ^[1-9][0-9]*$ ]] || die "invalid DEVICE_CHECK_SECONDS '$BUDGET': expected seconds, from 1"
LOGS=$(mktemp -d)
trap finish EXIT
trap 'VERDICT="stopped from outside"; exit 1' TERM INT
SECONDS=0
export VITRINE_TEST_DEVICE=cuda
if [[ -d $BUILD/tests/goldens ]]; then export VITRINE_SOURCE_DIR=$BUILD VITRINE_DEMO_MODEL=$BUILD/models/demo; fi
if [[ -d $BUILD/lib ]]; then export LD_LIBRARY_PATH=$BUILD/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; fi

describe_machine
if ! is_gpu_there; then
  VERDICT="none: $GPU_MISSING"
  exit 1
fi
if [[ $PART == first ]]; then
  smoke
  all_tests
  if ((FAILURES > 0)); then triage; fi
  hunt_races
  sanitize memcheck racecheck synccheck
else
  decoding
  kernel_shares
  prompts
  peers
  other_sizes
fi
if ((FAILURES > 0)); then
  VERDICT="failed: $FAILURES of ${#RECORDS[@]}"
  exit 1
elif [[ $PART == first ]] && ((GPU_TESTS == 0)); then
  VERDICT="none: no test ran on a GPU"
  exit 1
fi
VERDICT="passed: $GPU_TESTS tests on the GPU; what was skipped, cut off or not run says so above"
