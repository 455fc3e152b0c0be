# SPDX-License-Identifier: MIT
"""Which part of the work this process has."""

from __future__ import annotations

import os

from vitrine.error import Error

_LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
)


def rank_from_environment() -> tuple[int, int]:
    """(rank, world) from torchrun, Open MPI, MPICH or srun, as the command line reads them; (0, 1) otherwise.

    SLURM's variables count only in a step of srun: in a batch script they describe one process alone.
    """
    for rank_name, world_name in _LAUNCHERS:
        rank, world = _variable(rank_name), _variable(world_name)
        if rank is None or world is None or (rank_name == "SLURM_PROCID" and not _in_slurm_step()):
            continue
        return check_rank(rank, world, f"{rank_name} with {world_name}")
    return 0, 1


def resolve_rank(rank: int | None, world: int | None) -> tuple[int, int]:
    """The arguments, or what the environment says where both are None."""
    if (rank is None) != (world is None):
        raise Error("rank and world belong together: expected both, or neither to use the launcher's")
    if rank is None or world is None:
        return rank_from_environment()
    return check_rank(rank, world, "rank with world")


def check_rank(rank: int, world: int, name: str) -> tuple[int, int]:
    if not 0 <= rank < world:
        raise Error(f"{name} is {rank} of {world}: expected a rank in 0..world-1")
    return rank, world


def _variable(name: str) -> int | None:
    text = os.environ.get(name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise Error(f"{name} is {text!r}: expected an integer; or pass rank and world") from None


def _in_slurm_step() -> bool:
    step = os.environ.get("SLURM_STEP_ID") or os.environ.get("SLURM_STEPID") or ""
    return step not in ("", "batch", "interactive", "4294967291", "4294967290")
