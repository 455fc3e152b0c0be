# SPDX-License-Identifier: MIT
"""What a pass is to capture, in the few terms that the engine resolves quickly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from vitrine._vitrine import Capture, Model, Plan

Wanted = Mapping[str, "Optional[tuple[int, ...]]"]
"""Positions of each site; None is all."""

_KEPT_PLANS = 8


def captures(wanted: Wanted) -> list[Capture]:
    """One Capture for all layers of a site that want the same positions."""
    groups: dict[tuple[str, tuple[int, ...] | None], list[int]] = {}
    for name, positions in wanted.items():
        if name.startswith("blocks."):
            _, layer, site = name.split(".", 2)
            groups.setdefault((f"blocks.*.{site}", positions), []).append(int(layer))
        else:
            groups[name, positions] = []
    return [Capture(site, layers=layers or None, positions=positions) for (site, positions), layers in groups.items()]


class Plans:
    """The latest plans of a model without edits, so that the same call again resolves nothing."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._plans: dict[tuple[tuple[str, tuple[int, ...] | None], ...], Plan] = {}

    def __getitem__(self, wanted: Wanted) -> Plan:
        key = tuple(wanted.items())
        plan = self._plans.pop(key, None)
        if plan is None:
            plan = self._model.compile(capture=captures(wanted))
            if len(self._plans) >= _KEPT_PLANS:
                self._plans.pop(next(iter(self._plans)), None)
        self._plans[key] = plan
        return plan
