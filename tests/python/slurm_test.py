# SPDX-License-Identifier: MIT
"""scripts/slurm/part.sh: how a task ends when its time is over."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

PART = Path(__file__).parents[2] / "scripts" / "slurm" / "part.sh"
# As SLURM does it: the signal goes to all processes of the step.
WORKER = "trap 'echo cut off; exit 143' TERM; echo ready; while :; do sleep 0.05; done"


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
    task = start("bash", "-c", WORKER)
    assert task.stdout is not None and task.stdout.readline() == "ready\n"
    if whole_step:
        os.killpg(task.pid, sent)
    else:
        task.send_signal(sent)
    assert task.communicate(timeout=30)[0].startswith("cut off\n")  # the command may have the signal twice
    assert task.returncode == status


def test_a_command_that_ends_by_itself_is_not_begun_again():
    task = start("bash", "-c", "trap 'sleep 0.2; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    assert task.stdout is not None and task.stdout.readline() == "ready\n"
    for _ in range(2):
        task.send_signal(signal.SIGUSR1)
        time.sleep(0.05)
    task.communicate(timeout=30)
    assert task.returncode == 0


def test_no_command_is_refused():
    task = start()
    assert "missing command" in task.communicate(timeout=30)[1] and task.returncode == 2
