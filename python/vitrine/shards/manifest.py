# SPDX-License-Identifier: MIT
"""manifest.json of the ranks of a capture."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vitrine.error import Error

FORMAT = "vitrine corpus capture 1"
_DIGEST = re.compile("[0-9a-f]{16}")
_FOLDER = re.compile(r"rank-(\d{5,})-of-(\d{5,})")


def shard_name(index: int) -> str:
    return f"shard-{index:06}.safetensors"


def rank_folder(rank: int, world: int) -> str:
    return f"rank-{rank:05}-of-{world:05}"


@dataclass(frozen=True)
class Manifest:
    """One rank: what all its shards depend on, and a column for each number of the list of shards."""

    folder: Path
    rank: int
    world: int
    identity: Mapping[str, Any]
    complete: bool
    skipped: int
    bytes: npt.NDArray[np.int64]
    windows: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]  # that begin in the shard
    first: npt.NDArray[np.int64]  # document of the first window
    last: npt.NDArray[np.int64]
    digests: npt.NDArray[np.uint64]  # XXH64 of the file
    statistics: Mapping[str, Any] | None  # of a complete capture

    @property
    def path(self) -> Path:
        return self.folder / "manifest.json"

    def shard(self, index: int) -> Path:
        return self.folder / shard_name(index)


def read_manifest(folder: Path) -> Manifest:
    """Raises Error for a manifest that is missing, cut off, of another format, or not of this folder."""
    path = folder / "manifest.json"
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise Error(f"{folder}: missing manifest.json: its run has not finished a shard") from None
    except OSError as error:
        raise Error(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Error(f"{path}: damaged: not JSON: {error}") from None
    try:
        return _manifest(folder, found)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Error(f"{path}: damaged: {error}: expected a manifest of `vitrine corpus`") from None


def read_manifests(root: Path, incomplete: bool) -> list[Manifest]:
    """All ranks of a folder, in their order. Unless `incomplete`: refuses a capture that has not ended."""
    try:
        names = [entry.name for entry in os.scandir(root)]
    except NotADirectoryError:
        raise Error(f"{root}: a file: expected the folder of a capture") from None
    except FileNotFoundError:
        raise Error(f"{root}: missing: expected the folder of a capture (`vitrine corpus --out`)") from None
    if "manifest.json" in names and _FOLDER.fullmatch(root.resolve().name):
        raise Error(f"{root}: the folder of one rank: expected the folder that contains it")
    folders = sorted((int(m[1]), int(m[2]), m[0]) for m in map(_FOLDER.fullmatch, names) if m)
    if not folders:
        raise Error(f"{root}: contains no capture of a corpus: missing folder rank-...")
    world = folders[0][1]
    if len({w for _, w, _ in folders}) > 1:
        raise Error(f"{root}: contains ranks of several worlds ({folders[0][2]}, {folders[-1][2]}): expected one")
    manifests = []
    for _, _, name in folders:
        if incomplete and not (root / name / "manifest.json").exists():
            continue
        manifests.append(read_manifest(root / name))
    for manifest in manifests:
        _check_same_run(manifests[0], manifest)
    if not incomplete:
        _check_complete(root, manifests, world)
    return manifests


def _manifest(folder: Path, found: Any) -> Manifest:
    if found["format"] != FORMAT:
        raise ValueError(f"format is {found['format']!r}, not {FORMAT!r}")
    identity, shards = found["identity"], found["shards"]
    rank, world = identity["rank"], identity["world"]
    if folder.name != rank_folder(rank, world):
        raise ValueError(f"rank {rank} of {world} is that of another folder")
    if not isinstance(found["complete"], bool):
        raise ValueError("complete is not true or false")
    for index, shard in enumerate(shards):
        if shard["file"] != shard_name(index):
            raise ValueError(f"shard {index} has the file {shard['file']!r}, not {shard_name(index)}")

    def column(name: str, least: int) -> npt.NDArray[np.int64]:
        keys = name.split(".")
        values = [shard[keys[0]] for shard in shards]
        values = [value[keys[1]] for value in values] if len(keys) > 1 else values
        for index, value in enumerate(values):
            if type(value) is not int or value < least:
                raise ValueError(f"{name} of shard {index} is {value!r}")
        return np.array(values, np.int64)

    digests = [shard["xxh64"] for shard in shards]
    for index, digest in enumerate(digests):
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ValueError(f"xxh64 of shard {index} is {digest!r}")

    return Manifest(
        folder=folder,
        rank=rank,
        world=world,
        identity=identity,
        complete=found["complete"],
        skipped=found["skipped"],
        bytes=column("bytes", 1),
        windows=column("windows", 1),
        tokens=column("tokens", 1),
        documents=column("documents", 0),
        first=column("first.document", 0),
        last=column("last.document", 0),
        digests=np.array([int(digest, 16) for digest in digests], np.uint64),
        statistics=found.get("statistics"),
    )


def _check_same_run(one: Manifest, other: Manifest) -> None:
    for name in one.identity:
        if name != "rank" and one.identity[name] != other.identity.get(name):
            raise Error(f"{other.path}: belongs to a different run than {one.path}: {name} differs")


def _check_complete(root: Path, manifests: list[Manifest], world: int) -> None:
    fix = "resume the capture, or pass incomplete=True"
    there = {manifest.rank for manifest in manifests}
    missing = [rank for rank in range(world) if rank not in there] if len(there) < world else []
    if missing:
        raise Error(f"{root}: incomplete: rank {missing[0]} of {world} is missing ({len(missing)} in all); {fix}")
    for manifest in manifests:
        if not manifest.complete:
            raise Error(f"{manifest.path}: incomplete: its run was interrupted; {fix}")


def check_sizes(manifest: Manifest) -> None:
    """Compares the files of a rank with its manifest: one listing of the folder."""
    sizes = {entry.name: entry.stat().st_size for entry in os.scandir(manifest.folder) if entry.is_file()}
    fix = "`vitrine corpus --repair` makes it again"
    for index, expected in enumerate(manifest.bytes.tolist()):
        found = sizes.get(shard_name(index))
        if found is None:
            raise Error(f"{manifest.shard(index)}: is in the manifest, but missing; {fix}")
        if found != expected:
            raise Error(f"{manifest.shard(index)}: has {found} bytes; the manifest says {expected}; {fix}")
