# SPDX-License-Identifier: MIT
"""scripts/slurm/part.py: how a task ends when its time is over."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PART = Path(__file__).parents[2] / "scripts" / "slurm" / "part.py"
WORKER = (
    "import os, signal\n"
    "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'cut off\\n'), os._exit(143)))\n"
    "os.write(1, b'ready\\n')\n"
    "while True: signal.pause()\n"
)


def start(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(PART), *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.parametrize("status", [0, 2, 75, 137])
def test_a_command_keeps_its_status(status):
    task = start("bash", "-c", f"exit {status}")
    task.communicate(timeout=30)
    assert task.returncode == status


@pytest.mark.parametrize(
    "sent,status", [(signal.SIGUSR1, 75), (signal.SIGTERM, 143)], ids=["time is over", "cancelled"]
)
@pytest.mark.parametrize("whole_step", [True, False])
def test_a_signal_ends_the_command_in_order(sent, status, whole_step):
    task = start(sys.executable, "-c", WORKER)
    assert task.stdout is not None and task.stdout.readline() == "ready\n"
    while task.poll() is None:  # again, should part.py not have had its handler yet
        if whole_step:  # as SLURM does it
            os.killpg(task.pid, sent)
        else:
            task.send_signal(sent)
        time.sleep(0.1)
    assert task.communicate(timeout=30)[0].startswith("cut off\n")  # the command may have the signal twice
    assert task.returncode == status


def test_a_command_that_ends_by_itself_is_not_begun_again():
    task = start("bash", "-c", "trap 'sleep 0.2; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    assert task.stdout is not None and task.stdout.readline() == "ready\n"
    for _ in range(2):
        time.sleep(0.1)
        task.send_signal(signal.SIGUSR1)
    task.communicate(timeout=30)
    assert task.returncode == 0


def test_no_command_is_refused():
    task = start()
    assert "missing command" in task.communicate(timeout=30)[1] and task.returncode == 1
