# SPDX-License-Identifier: MIT
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
