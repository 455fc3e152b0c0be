# SPDX-License-Identifier: MIT
"""The command line that comes with the package."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from vitrine.error import Error


def program() -> Path:
    """The `vitrine` program of this package."""
    path = Path(__file__).parent / "bin" / "vitrine"
    if not path.exists():
        raise Error(f"{path} is missing: this package was built without the command line")
    return path


def main() -> NoReturn:
    """Becomes the program, with this process's arguments."""
    try:
        path = str(program())
    except Error as error:
        sys.exit(f"vitrine: {error}")
    # What the program leaves to Python (vitrine/from_command.py) runs in this one.
    os.execve(path, [path, *sys.argv[1:]], {"VITRINE_PYTHON": sys.executable, **os.environ})


def run(arguments: Sequence[str]) -> Any:
    """The JSON that `vitrine ARGUMENTS --json` prints. Raises Error with the program's line."""
    import json  # here, because `import vitrine` takes 10 ms less without them
    import subprocess

    done = subprocess.run([str(program()), *arguments, "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Error(done.stderr.strip() or f"vitrine ended with status {done.returncode}")
    return json.loads(done.stdout)


def doctor() -> dict[str, Any]:
    """What this machine and build can do, as `vitrine doctor` says it."""
    found: dict[str, Any] = run(["doctor"])
    return found


def bench(*arguments: str) -> dict[str, Any]:
    """Times the engine: the JSON of `vitrine bench ARGUMENTS`."""
    found: dict[str, Any] = run(["bench", *arguments])
    return found


def info(model: Path | str = "demo", *arguments: str) -> dict[str, Any]:
    """Describes a checkpoint: the JSON of `vitrine info --model MODEL ARGUMENTS`."""
    found: dict[str, Any] = run(["info", "--model", str(model), *arguments])
    return found
