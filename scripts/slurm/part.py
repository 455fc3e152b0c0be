#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""part.py COMMAND...: runs a command as a task of SLURM, and ends it in order when its time is over.

SIGUSR1 (sbatch --signal=USR1@120) and SIGTERM (preemption, scancel) are passed on as SIGTERM: `vitrine corpus`
then ends with its complete shards in the manifest. Exit status 75 after SIGUSR1: the job is to queue again, and the
same command goes on. A preempted job is queued again by SLURM, and a cancelled one must not be.
"""

import signal
import subprocess
import sys

if len(sys.argv) < 2:
    sys.exit("part.py: missing command: expected part.py vitrine corpus ...")
arrived = []
child = None


def stop(number, _frame):
    arrived.append(number)
    if child is not None:
        child.send_signal(signal.SIGTERM)


# SLURM signals all processes of a step: an ignored signal stays ignored in the command.
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
try:
    child = subprocess.Popen(sys.argv[1:])
except OSError as error:
    sys.exit(f"part.py: {sys.argv[1]}: {error.strerror}")
signal.signal(signal.SIGUSR1, stop)
if arrived:
    child.send_signal(signal.SIGTERM)
status = child.wait()
status = 128 - status if status < 0 else status
sys.exit(75 if signal.SIGUSR1 in arrived and status == 128 + signal.SIGTERM else status)
