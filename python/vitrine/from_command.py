# SPDX-License-Identifier: MIT
"""What the command `vitrine` leaves to Python (cli/core/start_python.h): Ray, and the folder of SAELens."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import vitrine
from vitrine.error import Error
from vitrine.shards.manifest import read_manifests

Request = Mapping[str, Any]


def main() -> NoReturn:
    """Does what standard input says, prints what a command prints, and ends as one does."""
    request: Request = json.load(sys.stdin)
    try:
        if request["version"] != vitrine.__version__:
            raise Error(
                f"the command is vitrine {request['version']} and the package in {sys.executable} is "
                f"{vitrine.__version__}: install the same"
            )
        if request["do"] == "ray":
            _print_capture(request, _in_a_process(_capture_on_ray, request))
        else:
            _to_sae_lens(request)
    except Error as error:
        _end(str(error), 2 if error.kind == "user" else 1)
    except KeyboardInterrupt:
        sys.stderr.write("vitrine: interrupted\n")
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    sys.exit(0)


def _in_a_process(work: Callable[[Request], dict[str, Any]], request: Request) -> dict[str, Any]:
    """What `work` returns or raises. Ray writes pages about what is one line, and ends its process when it loses the head."""
    shown = _progress(request)
    read, write = os.pipe()
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        child = os.fork()
        if child == 0:
            for number in (1,) if shown else (1, 2):
                os.dup2(log.fileno(), number)
            try:
                answer: dict[str, Any] = {"found": work(request)}
            except Error as error:
                answer = {"error": str(error), "kind": error.kind}
            except KeyboardInterrupt:
                answer = {}
            with os.fdopen(write, "w") as file:
                json.dump(answer, file)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as file:
            text = file.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        log.seek(0)
        last = (log.read().strip().splitlines() or ["no reason given"])[-1]
    answer = json.loads(text) if text else {}
    if "found" in answer:
        found: dict[str, Any] = answer["found"]
        return found
    reason = re.sub(r"^\[.*?\] \S+ ", "", last).split(". ")[0]  # without Ray's time and place, and its advice
    failure = Error(answer.get("error") or f"Ray ended its process ({status}): {reason}; the same command goes on")
    failure.kind = answer.get("kind", "internal")
    raise failure


def _progress(request: Request) -> bool:
    return bool(request["progress"] not in ("auto", "none") or (request["progress"] == "auto" and sys.stderr.isatty()))


def _end(line: str, status: int) -> NoReturn:
    sys.stdout.flush()
    sys.stderr.write(f"vitrine: {' '.join(line.split())}\n")
    sys.exit(status)


def _capture_on_ray(request: Request) -> dict[str, Any]:
    os.environ.setdefault("RAY_DATA_LOG_LEVEL", "CRITICAL")
    try:
        import ray
        import ray.data
    except ImportError:
        raise Error(f"--ray needs Ray in {sys.executable}: pip install 'ray[data]'") from None
    import vitrine.ray

    address, parts, loading = request["address"], request["parts"], request["loading"]
    try:
        _require_listener(address)
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise Error(f"--ray {address}: {error}") from None
    ray.data.DataContext.get_current().enable_progress_bars = _progress(request)
    try:
        return vitrine.ray.capture(
            request["paths"],
            request["out"],
            parts=parts,
            actors=tuple(request["actors"] * 2)[:2] or (1, parts),
            num_cpus=request["cpus"] or loading["threads"] or 1,
            num_gpus=request["gpus"] if request["gpus"] >= 0 else float(loading["device"].startswith("cuda")),
            model=request["model"],
            hooks=request["hooks"],
            **{name: value for name, value in loading.items() if value is not None},
            **{name: value for name, value in request["options"].items() if (name, value) != ("prepend", -1)},
        )
    finally:
        ray.shutdown()  # of a cluster that is this process's own


def _print_capture(request: Request, totals: Mapping[str, Any]) -> None:
    manifests = read_manifests(Path(request["out"]), incomplete=False)
    found = {"path": request["out"], **totals, "skipped": sum(m.skipped for m in manifests)}
    if request["json"]:
        model = {name: request["loading"].get(name) for name in ("device", "dtype")}
        return _print_json({"model": {"name": request["model"], **model}, "corpus": found})
    size = f"{found['bytes'] / 1e6:,.1f} MB"
    print(f"{found['path']}: {size} in {found['shards']:,} shards of {found['parts']:,} parts")
    print("{documents:,} documents, {windows:,} windows, {tokens:,} tokens".format_map(found))
    if found["skipped"]:
        print(f"{found['skipped']:,} bad documents were left out")


def _require_listener(address: str) -> None:
    """Ray itself waits for minutes where HOST:PORT does not answer."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        with socket.create_connection((host, int(port)), timeout=20):
            pass


def _to_sae_lens(request: Request) -> None:
    from vitrine import shards

    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    acts = shards.open(request["from"])
    if request["site"] is None and len(acts.sites) > 1:
        raise Error(f"{request['from']} has {len(acts.sites)} sites: name one by --capture: {', '.join(acts.sites)}")
    site = request["site"] or acts.sites[0]
    if site not in acts.sites:
        raise Error(f"{request['from']} has no site {site}: expected one of {', '.join(acts.sites)}")
    window = request["window"] or int(acts.identity["plan"]["window"])
    counts = shards.to_sae_lens(acts, request["out"], site=site, context_size=window)
    found: dict[str, Any] = {"path": request["out"], "site": site, "window": window, **counts}
    if request["json"]:
        return _print_json({"sae_lens": found})
    print("{path}: {sequences:,} sequences of {window} rows of {site}; {dropped:,} rows left over".format_map(found))


def _print_json(found: Mapping[str, Any]) -> None:
    print(json.dumps({"vitrine": vitrine.__version__, "command": "corpus", **found}, indent=2))
