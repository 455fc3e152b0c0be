# SPDX-License-Identifier: MIT
"""What the parts of vitrine.ray share: tables, patience, lines of errors."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import vitrine
from vitrine.error import Error
from vitrine.types import Path as PathLike

T = TypeVar("T")
_WAIT_FOR_LOCK_S = 60.0  # an actor that was lost may take a moment to be gone


def parts_table(parts: int) -> Any:
    """A ray.data.Dataset with the rows {"part": 0..parts-1}, a block each.

    It needs no task of its own, so that the actors may have all CPUs.
    """
    return rows_table([{"part": part} for part in range(at_least_one(parts))])


def rows_table(rows: Sequence[Mapping[str, Any]]) -> Any:
    """A ray.data.Dataset of these rows, a block each."""
    try:
        import ray.data
    except ImportError:
        raise Error("vitrine.ray needs Ray here: pip install 'ray[data]'") from None
    return ray.data.from_items(list(rows), override_num_blocks=len(rows))


def results_of(table: Any) -> list[dict[str, Any]]:
    """All rows of a dataset, which runs it. Raises Error with one line if an actor or the cluster fails."""
    from ray.exceptions import RayError

    try:
        rows: list[dict[str, Any]] = table.take_all()
        return rows
    except RayError as error:
        failure = _as_error(error)
    # Whoever keeps the error must not keep the actors alive by it, which hold their CPUs.
    del table
    raise failure


def same_version(version: str | None) -> str:
    """This package's, which must be that of the process that started the actors (None: not said)."""
    here = vitrine.__version__
    if version not in (None, here):
        raise Error(f"a node has vitrine {here}, the driver {version}: install the same on all nodes")
    return here


def patiently(work: Callable[[], T]) -> T:
    """What `work` returns. Waits while another process has the same part."""
    until = time.monotonic() + _WAIT_FOR_LOCK_S
    while True:
        try:
            return work()
        except Error as error:
            if "another process" not in str(error) or time.monotonic() > until:
                raise
        time.sleep(0.2)


def at_least_one(parts: int) -> int:
    if parts < 1:
        raise Error(f"parts is {parts}: expected 1 or more")
    return parts


def listed(paths: PathLike | Sequence[PathLike]) -> list[str]:
    return [str(paths)] if isinstance(paths, (str, Path)) else [str(path) for path in paths]  # type: ignore[union-attr]


def refuse_own(options: Mapping[str, Any], own: Sequence[str]) -> None:
    for name in own:
        if name in options:
            raise Error(f"{name} is set by vitrine.ray: leave it out")


def _as_error(error: BaseException) -> Error:
    """With the line of a vitrine.Error that an actor raised, or Ray's own last line."""
    lines = str(error).strip().splitlines() or [repr(error)]
    mark = "vitrine.error.Error: "
    ours = [line.split(mark, 1)[1] for line in lines if mark in line]
    found = Error(ours[-1] if ours else f"Ray ended the run: {lines[-1]}; the same call goes on with it")
    found.kind = "user" if ours else "internal"
    return found
