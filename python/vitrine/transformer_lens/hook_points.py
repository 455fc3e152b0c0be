# SPDX-License-Identifier: MIT
"""Hook points: the places of a pass where functions of the user are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Union

import torch

from vitrine.error import Error
from vitrine.transformer_lens.tensors import Slice

HookFunction = Callable[..., Any]
"""fn(tensor, hook): returns a tensor, or None for no change (or a change in place)."""

NamesFilter = Union[None, str, Sequence[str], Callable[[str], bool]]
"""None is all names."""

_INPUTS_OF_HEADS = ("hook_attn_in", "hook_q_input", "hook_k_input", "hook_v_input")
_HEADS = ("hook_q", "hook_k", "hook_v", "hook_z", "hook_result", *_INPUTS_OF_HEADS)


@dataclass(eq=False)
class LensHandle:
    """A function at a hook point, and how long it stays there."""

    user_hook: HookFunction
    is_permanent: bool = False
    context_level: int | None = None


class HookPoint:
    """A named place. `ctx` is a dictionary for the hook functions; `fwd_hooks` and `bwd_hooks` run in their order."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.ctx: dict[Any, Any] = {}
        self.fwd_hooks: list[LensHandle] = []
        self.bwd_hooks: list[LensHandle] = []

    def __repr__(self) -> str:
        counts = [f"{len(hooks)} {kind}" for kind, hooks in (("fwd", self.fwd_hooks), ("bwd", self.bwd_hooks)) if hooks]
        return f"HookPoint({', '.join([f'name={self.name!r}', *counts])})"

    def add_hook(
        self,
        hook: HookFunction,
        dir: Literal["fwd", "bwd"] = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
    ) -> None:
        """Adds a function. `level`: depth of the context that removes it; `prepend`: before all others."""
        if not callable(hook):
            raise Error(f"the hook at {self.name} is a {type(hook).__name__}: expected a function of (tensor, hook)")
        hooks = self._of(dir)
        hooks.insert(0 if prepend else len(hooks), LensHandle(hook, is_permanent, level))

    def add_perma_hook(self, hook: HookFunction, dir: Literal["fwd", "bwd"] = "fwd") -> None:
        """Adds a function that reset_hooks() leaves in place."""
        self.add_hook(hook, dir, is_permanent=True)

    def has_hooks(
        self,
        dir: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = True,
        level: int | None = None,
    ) -> bool:
        """Whether there are functions of this kind."""
        handles = [*(self._of("fwd") if dir != "bwd" else []), *(self._of("bwd") if dir != "fwd" else [])]
        return any(
            (including_permanent or not handle.is_permanent) and level in (None, handle.context_level)
            for handle in handles
        )

    def remove_hooks(
        self,
        dir: Literal["fwd", "bwd", "both"] = "fwd",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Removes the functions of this kind; permanent ones only with `including_permanent`."""
        if dir not in ("fwd", "bwd", "both"):
            raise ValueError(f"Invalid direction {dir}")
        for kind in ("fwd", "bwd"):
            if dir in (kind, "both"):
                hooks = self._of(kind)
                hooks[:] = [
                    handle
                    for handle in hooks
                    if not including_permanent
                    and (handle.is_permanent or (level is not None and handle.context_level != level))
                ]

    def clear_context(self) -> None:
        """Empties `ctx`."""
        self.ctx = {}

    def layer(self) -> int:
        """The block's number; ValueError for a place outside the blocks."""
        return int(self.name.split(".")[1])

    def _of(self, dir: str) -> list[LensHandle]:
        if dir not in ("fwd", "bwd"):
            raise ValueError(f"Invalid direction {dir}")
        return self.fwd_hooks if dir == "fwd" else self.bwd_hooks


@dataclass
class CachingHook:
    """Keeps what it is called with in `cache`, by the hook's name, or that with "_grad".

    A pass does not call it where no other function is at the place: the engine captures the positions
    of `pos_slice` alone.
    """

    cache: dict[str, torch.Tensor]
    is_backward: bool = False
    device: Any = None
    remove_batch_dim: bool = False
    pos_slice: Slice = field(default_factory=Slice)

    def __call__(self, tensor: torch.Tensor, hook: HookPoint) -> None:
        """The function as TransformerLens calls it."""
        self.keep(hook.name, self.sliced(tensor, hook.name))

    def sliced(self, tensor: torch.Tensor, name: str) -> torch.Tensor:
        """The wanted positions of what a place has."""
        axis = position_axis(name)
        if self.pos_slice.mode == "identity" or tensor.ndim < -axis:
            return tensor
        found: torch.Tensor = self.pos_slice.apply(tensor, dim=axis)
        return found

    def keep(self, name: str, tensor: torch.Tensor) -> None:
        """Keeps a tensor that has the wanted positions already."""
        self.cache[self.key(name)] = self._placed(tensor)

    def key(self, name: str) -> str:
        """The key of a place in `cache`."""
        return name + "_grad" if self.is_backward else name

    def positions(self, length: int) -> list[int] | None:
        """Positions to capture out of `length`; None: all, and slice() what comes back."""
        if self.pos_slice.mode == "identity":
            return None
        chosen: list[int] = [int(i) % length for i in self.pos_slice.indices(length)]
        return chosen if chosen and chosen == sorted(set(chosen)) else None

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        kept = tensor.detach()
        if self.device is not None:
            kept = kept.to(self.device)
        return kept[0] if self.remove_batch_dim else kept


def position_axis(name: str) -> int:
    """The axis of positions in an activation, from its end; of a map it is that of queries."""
    return -3 if name.endswith(_HEADS) else -2


def predicate(names_filter: NamesFilter) -> Callable[[str], bool]:
    """The function that a filter of names means."""
    if names_filter is None:
        return lambda name: True
    if isinstance(names_filter, str):
        return lambda name: name == names_filter
    if callable(names_filter):
        return names_filter
    if isinstance(names_filter, Sequence):
        names = set(names_filter)
        return lambda name: name in names
    raise ValueError("names_filter must be a string, list of strings, or function")
