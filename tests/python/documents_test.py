# SPDX-License-Identifier: MIT
"""The Python that the documents show: it runs, and values have the shapes that are written beside them."""

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXT

import vitrine
import vitrine.command

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def run(code: str, names: dict):
    """Executes statements; the value of the last one if it is an expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "document", "exec"), names)
    if last is not None:
        return eval(compile(ast.Expression(last.value), "document", "eval"), names)
    name = ast.unparse(tree.body[-1].targets[0]) if isinstance(tree.body[-1], ast.Assign) else None
    return names.get(name)


def rows(text: str):
    """(line, code of the left column, code of the right one) of each row of a table of two columns."""
    for match in re.finditer(r"^\| (.*) \|$", text, re.MULTILINE):
        cells = [re.findall(r"`([^`]+)`", cell) for cell in match.group(1).split(" | ")]
        if len(cells) == 2:
            yield text[: match.start()].count("\n") + 1, *cells


def blocks(text: str):
    """(line, code) of each fenced block."""
    return [(text[: match.start()].count("\n") + 1, match.group(1)) for match in FENCE.finditer(text)]


def from_transformerlens():
    words = re.compile(r"## What differs.*?(?=\n## )", re.DOTALL)  # a table without code
    return words.sub(lambda match: "\n" * match.group().count("\n"), (DOCS / "FROM_TRANSFORMERLENS.md").read_text())


def run_all(codes, names: dict, sizes: dict):
    """The values of (line, code), in the order of the lines."""
    values = {}
    for line, code in sorted(codes, key=lambda one: one[0]):
        where = f"docs/FROM_TRANSFORMERLENS.md:{line}: {code}"
        try:
            value = run(code, names)
        except Exception as error:
            pytest.fail(f"{where}\n{type(error).__name__}: {error}")
        check_shape(code, value, sizes, where)
        values[line, code] = value
    return values


def check_shape(code: str, value, sizes: dict, where: str):
    written = re.search(r"# \[(.*?)\]$", code)
    if written is None:
        return
    expected = tuple(eval(part, dict(sizes)) for part in written.group(1).split(","))
    assert np.shape(value) == expected, where


def test_a_wrong_shape_and_a_wrong_name_are_found():
    with pytest.raises(AssertionError):
        check_shape("x  # [T, D]", np.zeros((5, 3)), {"T": 5, "D": 4}, "here")
    text = "| `f(1)` | `g`, then `h` |\n\n```python\nh()\n```\n"
    assert list(rows(text)) == [(1, ["f(1)"], ["g", "h"])] and blocks(text) == [(3, "h()\n")]


OTHER_WORDS = (
    "effect",
    "mlp",
    "embedding",
    "gap",
    "adjoint=",
    "vitrine.transformer_lens",
)  # names of arrays and arguments


@pytest.fixture(scope="module")
def native(model):
    """Values of the right column and of the blocks."""
    c = model.config
    sizes = {"T": 5, "V": c.vocab, "L": c.layers, "H": c.heads, "D": c.width, "K": c.head_width, "M": c.inner}
    document = from_transformerlens()
    names: dict = {}
    codes = [(line, code) for line, _, right in rows(document) for code in right if code not in OTHER_WORDS]
    values = run_all(blocks(document) + codes, names, sizes)
    assert len(values) > 70
    assert np.allclose(names["parts"].sum(0), names["run"]["blocks.5.hook_resid_post"], atol=1e-3)
    return values


def test_the_native_code_of_from_transformerlens_runs(native):
    pass


OLD_NAMES = """
import numpy as np
from vitrine.transformer_lens import *
from vitrine.transformer_lens import utils

model = HookedTransformer.from_pretrained_no_processing("demo", default_prepend_bos=False)
text, corrupt, name = "The keys to the cabinet", "The key to the cabinet", "blocks.2.attn.hook_z"
tokens, corrupt_tokens = model.to_tokens(text), model.to_tokens(corrupt)
logits, cache = model.run_with_cache(text)
residual = cache["blocks.2.hook_resid_post"]
are, is_ = model.to_single_token(" are"), model.to_single_token(" is")

def hook(value, hook):
    value[:] = 0

def metric(logits):
    return logits[0, -1, are] - logits[0, -1, is_]
"""
OTHER_NUMBERS = (
    "logit_attrs",
    "neuron",
    "apply_ln=True",
)  # attributions fold the layernorm here; others are not the same thing


def numbers(value):
    """Of a number, an array or a list of numbers, without the batch axis; otherwise None."""
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    if isinstance(value, (list, tuple)) and not all(isinstance(one, (int, float)) for one in value):
        return None
    value = np.squeeze(np.asarray(value))
    return value if value.dtype.kind in "fi" and value.size else None


def test_both_columns_of_from_transformerlens_have_the_same_values(native):
    pytest.importorskip("torch")
    names: dict = {}
    exec(OLD_NAMES, names)
    document = from_transformerlens()
    try:
        from vitrine.transformer_lens import patching

        names["patching"] = patching
    except ImportError:
        document = document[: document.index("## Patching and tools")]
    compared = 0
    values = run_all([(line, code) for line, left, _ in rows(document) for code in left], names, {})
    for line, left, right in rows(document):
        if not left or not right or right[0] in OTHER_WORDS or any(word in left[-1] for word in OTHER_NUMBERS):
            continue
        old, new = numbers(values[line, left[-1]]), numbers(native[line, right[0]])
        if old is not None and new is not None:
            assert old.shape == new.shape and np.allclose(old, new, rtol=0, atol=1e-4 * np.abs(new).max()), (
                f"line {line}: {left[-1]}"
            )
            compared += 1
    assert compared >= 20


@pytest.fixture(scope="module")
def python_md(model, tmp_path_factory):
    """What the blocks of PYTHON.md share: names, and a folder with a capture."""
    folder = tmp_path_factory.mktemp("document")
    corpus = "".join(json.dumps({"text": TEXT * 50}) + "\n" for _ in range(20))  # rows for a batch
    (folder / "corpus.jsonl").write_text(corpus)
    vitrine.command.run(
        ["corpus", str(folder / "corpus.jsonl"), "--out", str(folder / "acts"), "--capture", "blocks.3.hook_resid_post"]
    )
    names = {"text": TEXT, "ids": model.encode(TEXT), "texts": [TEXT * 50] * 20, "vitrine": vitrine, "model": model}
    return folder, names


@pytest.mark.parametrize("line, block", blocks((DOCS / "PYTHON.md").read_text()))
def test_the_code_of_python_md_runs(python_md, line, block, monkeypatch):
    folder, names = python_md
    if "ray.init" in block:
        pytest.skip("it needs a cluster of Ray: ray_test.py has its own")
    if "torch" in block or "tensors=True" in block or "transformer_lens" in block:
        pytest.importorskip("torch")
    monkeypatch.chdir(folder)
    try:
        run(block, names)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        pytest.skip("torch is missing")
    except Exception as error:
        pytest.fail(f"docs/PYTHON.md:{line}: {type(error).__name__}: {error}")
