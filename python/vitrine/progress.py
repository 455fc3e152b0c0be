# SPDX-License-Identifier: MIT
"""Progress of long calls."""

from __future__ import annotations

import importlib.util
import sys
import time

from vitrine.types import Progress


def progress_bar(description: str = "") -> Progress:
    """A progress callback: tqdm's bar where it is installed, otherwise lines on stderr.

    vitrine.noise(model, text, progress=vitrine.progress_bar("noise"))
    """
    if importlib.util.find_spec("tqdm") is not None:
        return _tqdm_bar(description)
    return _lines(description)


def _tqdm_bar(description: str) -> Progress:
    from tqdm.auto import tqdm

    bar = tqdm(desc=description or None)

    def report(done: int, total: int, label: str) -> None:
        bar.total = total or None
        bar.set_postfix_str(label, refresh=False)
        bar.update(done - bar.n)
        if total and done >= total:
            bar.close()

    return report


def _lines(description: str) -> Progress:
    last = [0.0]

    def report(done: int, total: int, label: str) -> None:
        now = time.monotonic()
        if now - last[0] < 1.0 and done != total:
            return
        last[0] = now
        of = f" of {total}" if total else ""
        print(f"{description or label}: {done}{of}", file=sys.stderr)

    return report
