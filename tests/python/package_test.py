# SPDX-License-Identifier: MIT
"""The package itself: what it imports, its types, its command line, interrupts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import interrupted

import vitrine


def python(code: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, **options)


def test_importing_needs_numpy_alone():
    done = python("import sys, vitrine; print([m for m in ('torch', 'tqdm', 'pandas') if m in sys.modules])")
    assert done.stdout == "[]\n", done.stderr


def test_the_version_and_the_names():
    assert vitrine.__version__.count(".") == 2
    for name in vitrine.__all__:
        assert hasattr(vitrine, name)
        assert name.startswith("__") or getattr(vitrine, name).__doc__, name
    sites = vitrine.sites()
    assert sites[0]["name"] == "hook_embed" and sites[-1]["name"] == "logits"


def test_python_m_vitrine_is_the_command_line():
    done = subprocess.run([sys.executable, "-m", "vitrine", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and vitrine.__version__ in done.stdout
    done = subprocess.run([sys.executable, "-m", "vitrine", "lens"], capture_output=True, text=True)
    assert done.returncode == 2
    assert vitrine.doctor()


def test_ctrl_c_ends_a_long_call():
    code = (
        "import vitrine\n"
        "model = vitrine.Model.load('demo')\n"
        "print('ready', flush=True)\n"
        "try:\n"
        "    vitrine.noise(model, 'The keys to the cabinet', repetitions=1000000)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    assert interrupted(code) == "interrupted\n"


def test_the_annotations_hold():
    pytest.importorskip("mypy")
    package = Path(vitrine.__file__).parent
    settings = Path(__file__).parents[2] / "pyproject.toml"
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(settings), "--cache-dir", os.devnull, "-p", "vitrine"],
        capture_output=True,
        text=True,
        cwd=package.parent,
    )
    assert done.returncode == 0, done.stdout
