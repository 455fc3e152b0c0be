#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# part.sh COMMAND...: runs a command as a task of SLURM, and ends it in order when its time is over.
#
# SIGUSR1 (sbatch --signal=USR1@120) and SIGTERM (preemption, scancel) are passed on as SIGTERM: `vitrine corpus`
# then ends with its complete shards in the manifest. Exit status 75 after SIGUSR1: the job is to queue again, and the
# same command goes on. A preempted job is queued again by SLURM, and a cancelled one must not be.
set -u
(($#)) || { echo "part.sh: missing command: expected part.sh vitrine corpus ..." >&2; exit 2; }

time_is_over=0
# shellcheck disable=SC2317  # called by the trap
stop() {
  interrupted=1
  kill -TERM "$child" 2>/dev/null
}
(trap '' USR1 && exec "$@") & # SLURM signals all processes of a step
child=$!
trap 'time_is_over=1; stop' USR1
trap stop TERM
interrupted=1
while ((interrupted)); do # a signal ends a wait early, without the command's status
  interrupted=0
  wait "$child"
  status=$?
done
((time_is_over && status == 143)) && exit 75
exit "$status"
