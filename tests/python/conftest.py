# SPDX-License-Identifier: MIT
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import vitrine

TEXT = "The keys to the cabinet"


@pytest.fixture(scope="session")
def model() -> vitrine.Model:
    return vitrine.Model.load("demo")


@pytest.fixture(scope="session")
def ids(model: vitrine.Model) -> list[int]:
    return model.tokenizer.encode(TEXT)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def interrupted(code: str) -> str:
    """Output of a program that prints "ready" and gets Ctrl-C a moment later; it must end with status 0."""
    # A shell starts what runs in its background with SIGINT ignored.
    heard = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    with subprocess.Popen([sys.executable, "-c", heard + code], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            output = process.communicate(timeout=60)[0]
        finally:
            process.kill()
    assert process.returncode == 0
    return output
