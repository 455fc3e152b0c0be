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


def pieces(text: str):
    """(line, code) of each fenced block, and of each code span in the right column of a table, in their order."""
    found = [(match.start(), match.group(1)) for match in FENCE.finditer(text)]
    for match in re.finditer(r"^\| (.*) \|$", text, re.MULTILINE):
        cells = re.split(r" \| ", match.group(1))
        found += [(match.start() + i, span) for i, span in enumerate(re.findall(r"`([^`]+)`", cells[-1])) if len(cells) == 2]
    return [(text[:at].count("\n") + 1, code) for at, code in sorted(found)]


def check_shape(code: str, value, sizes: dict, where: str):
    written = re.search(r"# \[(.*?)\]$", code)
    if written is None:
        return
    expected = tuple(eval(part, dict(sizes)) for part in written.group(1).split(","))
    assert np.shape(value) == expected, where


def test_a_wrong_shape_and_a_wrong_name_are_found():
    with pytest.raises(AssertionError):
        check_shape("x  # [T, D]", np.zeros((5, 3)), {"T": 5, "D": 4}, "here")
    assert pieces("| a | `f(1)`, then `g` |\n\n```python\nh()\n```\n") == [(1, "f(1)"), (1, "g"), (3, "h()\n")]


def test_the_code_of_from_transformerlens_runs(model):
    c = model.config
    sizes = {"T": 5, "V": c.vocab, "L": c.layers, "H": c.heads, "D": c.width, "K": c.head_width, "M": c.inner}
    names: dict = {}
    words = re.compile(r"## What differs.*?(?=\n## )", re.DOTALL)  # a table without code
    document = words.sub(lambda match: "\n" * match.group().count("\n"), (DOCS / "FROM_TRANSFORMERLENS.md").read_text())
    found = pieces(document)
    assert len(found) > 70
    for line, code in found:
        if code in ("effect", "mlp", "embedding", "gap", "adjoint=", "vitrine.transformer_lens"):
            continue  # the names of other arrays and arguments
        where = f"docs/FROM_TRANSFORMERLENS.md:{line}: {code}"
        try:
            value = run(code, names)
        except Exception as error:
            pytest.fail(f"{where}\n{type(error).__name__}: {error}")
        check_shape(code, value, sizes, where)
    assert np.allclose(names["parts"].sum(0), names["run"]["blocks.5.hook_resid_post"], atol=1e-3)


@pytest.fixture(scope="module")
def python_md(model, tmp_path_factory):
    """What the blocks of PYTHON.md share: names, and a folder with a capture."""
    folder = tmp_path_factory.mktemp("document")
    corpus = "".join(json.dumps({"text": TEXT * 50}) + "\n" for _ in range(20))  # rows for a batch
    (folder / "corpus.jsonl").write_text(corpus)
    vitrine.command.run(["corpus", str(folder / "corpus.jsonl"), "--out", str(folder / "acts"), "--capture", "blocks.3.hook_resid_post"])
    names = {"text": TEXT, "ids": model.encode(TEXT), "texts": [TEXT * 50] * 20, "vitrine": vitrine, "model": model}
    return folder, names


@pytest.mark.parametrize("line, block", [(line, code) for line, code in pieces((DOCS / "PYTHON.md").read_text()) if code.endswith("\n")])
def test_the_code_of_python_md_runs(python_md, line, block, monkeypatch):
    folder, names = python_md
    if "ray.init" in block:
        pytest.skip("it needs a cluster of Ray: ray_test.py has its own")
    if "torch" in block or "tensors=True" in block or "transformer_lens" in block:
        pytest.importorskip("torch")
    monkeypatch.chdir(folder)
    try:
        run(block, names)
    except Exception as error:
        pytest.fail(f"docs/PYTHON.md:{line}: {type(error).__name__}: {error}")
