#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A line of a running command is shown before its next one is there, whichever awk this machine has.
# shellcheck source-path=SCRIPTDIR source=expect.sh
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib.sh
. "$SCRIPTS/lib.sh"

coproc SHOWN { live_awk '{ print; fflush() }'; }
echo "[1/2 0.1] first" >&"${SHOWN[1]}"
line='nothing within 10 s'
read -r -t 10 line <&"${SHOWN[0]}" || true
expect "while the command goes on" "[1/2 0.1] first" "$line"
finish_test
