# SPDX-License-Identifier: MIT
"""The notebooks of examples/notebooks: each runs from top to bottom, and its own assertions hold."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip(
    "nbformat", reason="nbformat is missing: notebooks are not run (pip install nbclient ipykernel)"
)
nbclient = pytest.importorskip(
    "nbclient", reason="nbclient is missing: notebooks are not run (pip install nbclient ipykernel)"
)
pytest.importorskip("ipykernel", reason="ipykernel is missing: notebooks are not run (pip install nbclient ipykernel)")

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))


def read(name):
    notebook = nbformat.read(FOLDER / name, as_version=4)
    nbformat.validate(notebook)
    return notebook


def test_there_are_notebooks():
    assert len(NOTEBOOKS) == 4


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_without_outputs_and_asserts_what_it_says(name):
    code = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert sum("assert " in cell.source for cell in code) >= 3


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs(name, monkeypatch):
    monkeypatch.setenv(
        "OMP_NUM_THREADS", "1"
    )  # NumPy's threads and the engine's get in each other's way on a busy machine
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    client = nbclient.NotebookClient(read(name), timeout=300, resources={"metadata": {"path": str(FOLDER)}})
    client.execute()  # raises CellExecutionError with the cell and its traceback
    pages = [
        output.data["text/html"]
        for cell in client.nb.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    if name != "probe.ipynb":
        assert pages and all("sandbox" in page for page in pages), "results show their pages"
