# SPDX-License-Identifier: MIT
"""Adding, removing and running hooks: what TransformerLens's HookedRootModule does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Union

import torch

from vitrine.error import Error
from vitrine.transformer_lens.cache import ActivationCache
from vitrine.transformer_lens.hook_points import (
    CachingHook,
    HookFunction,
    HookPoint,
    LensHandle,
    NamesFilter,
    predicate,
)
from vitrine.transformer_lens.inputs import SWITCHES
from vitrine.transformer_lens.tensors import Slice, SliceInput

HookList = Sequence["tuple[Union[str, Callable[[str], bool]], HookFunction]"]


class HookedRootModule:
    """A model with hook points. `hook_dict`: all of them by name, in the order of a pass."""

    cfg: Any
    hook_dict: dict[str, HookPoint]
    mod_dict: dict[str, Any]
    context_level: int = 0
    is_caching: bool = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """One pass."""
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """forward()"""
        return self.forward(*args, **kwargs)

    def hook_points(self) -> Any:
        """All hook points."""
        return self.hook_dict.values()

    def clear_contexts(self) -> None:
        """Empties the dictionary `ctx` of every hook point."""
        for point in self.hook_points():
            point.clear_context()

    def remove_all_hook_fns(
        self,
        direction: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Removes functions from every hook point."""
        for point in self.hook_points():
            point.remove_hooks(direction, including_permanent, level)

    def reset_hooks(
        self,
        clear_contexts: bool = True,
        direction: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = False,
        level: int | None = None,
    ) -> None:
        """Removes functions from every hook point, and empties their contexts."""
        if clear_contexts:
            self.clear_contexts()
        self.remove_all_hook_fns(direction, including_permanent, level)
        self.is_caching = False

    def check_hooks_to_add(self, hook_point_name: str) -> None:
        """AssertionError for a hook point that the configuration switches off."""
        for ending, switch in SWITCHES.items():
            on = getattr(self.cfg, switch) or not hook_point_name.endswith(ending)
            assert on, f"Cannot add hook {hook_point_name} if {switch} is False"

    def add_hook(
        self,
        name: str | Callable[[str], bool],
        hook: HookFunction,
        dir: Literal["fwd", "bwd"] = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
    ) -> None:
        """Adds fn(tensor, hook) at a name, or at all names of which the function `name` is true."""
        for found in self._named(name):
            self.check_hooks_to_add(found)
            self.hook_dict[found].add_hook(hook, dir, is_permanent, level, prepend)

    def add_perma_hook(
        self, name: str | Callable[[str], bool], hook: HookFunction, dir: Literal["fwd", "bwd"] = "fwd"
    ) -> None:
        """Adds a function that reset_hooks() leaves in place."""
        self.add_hook(name, hook, dir, is_permanent=True)

    def list_hooks(
        self,
        name_filter: NamesFilter = None,
        dir: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = True,
    ) -> dict[str, list[LensHandle]]:
        """The functions at each hook point that has some."""
        wanted = predicate(name_filter)
        found = {}
        for name, point in self.hook_dict.items():
            handles = [*(point.fwd_hooks if dir != "bwd" else []), *(point.bwd_hooks if dir != "fwd" else [])]
            kept = [handle for handle in handles if including_permanent or not handle.is_permanent]
            if wanted(name) and kept:
                found[name] = kept
        return found

    @contextmanager
    def hooks(
        self,
        fwd_hooks: HookList = (),
        bwd_hooks: HookList = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Iterator[Any]:
        """A context with functions at hook points; yields the model."""
        self.context_level += 1
        try:
            for kind, hooks in (("fwd", fwd_hooks), ("bwd", bwd_hooks)):
                for name, hook in hooks:
                    if isinstance(name, str) and not isinstance(hook, CachingHook):
                        self.check_hooks_to_add(name)
                    for found in self._named(name):
                        self.hook_dict[found].add_hook(
                            hook, "bwd" if kind == "bwd" else "fwd", level=self.context_level
                        )
            yield self
        finally:
            if reset_hooks_end:
                self.reset_hooks(clear_contexts, including_permanent=False, level=self.context_level)
            self.context_level -= 1

    def run_with_hooks(
        self,
        *model_args: Any,
        fwd_hooks: HookList = (),
        bwd_hooks: HookList = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        **model_kwargs: Any,
    ) -> Any:
        """One pass with functions at hook points. Backward functions are those of the backward passes of its result."""
        if len(bwd_hooks) > 0 and reset_hooks_end:
            logging.warning(
                "WARNING: Hooks will be reset at the end of run_with_hooks. "
                "This removes the backward hooks before a backward pass can occur."
            )
        with self.hooks(fwd_hooks, bwd_hooks, reset_hooks_end, clear_contexts):
            return self.forward(*model_args, **model_kwargs)

    def get_caching_hooks(
        self,
        names_filter: NamesFilter = None,
        incl_bwd: bool = False,
        device: Any = None,
        remove_batch_dim: bool = False,
        cache: dict[str, torch.Tensor] | None = None,
        pos_slice: Slice | SliceInput = None,
    ) -> tuple[dict[str, torch.Tensor], list[tuple[str, CachingHook]], list[tuple[str, CachingHook]]]:
        """(cache, fwd_hooks, bwd_hooks): a dictionary, and the functions that fill it."""
        wanted = predicate(names_filter)
        kept: dict[str, torch.Tensor] = {} if cache is None else cache
        chosen = Slice.unwrap(pos_slice)
        self.is_caching = True
        names = [name for name in self.hook_dict if wanted(name)]
        forward = CachingHook(kept, False, device, remove_batch_dim, chosen)
        backward = CachingHook(kept, True, device, remove_batch_dim, chosen)
        return kept, [(name, forward) for name in names], [(name, backward) for name in names if incl_bwd]

    def add_caching_hooks(
        self,
        names_filter: NamesFilter = None,
        incl_bwd: bool = False,
        device: Any = None,
        remove_batch_dim: bool = False,
        cache: dict[str, torch.Tensor] | None = None,
    ) -> dict[str, torch.Tensor]:
        """Adds functions that keep activations of all later passes; returns the dictionary that they fill."""
        kept, forward, backward = self.get_caching_hooks(names_filter, incl_bwd, device, remove_batch_dim, cache)
        for name, hook in forward:
            self.hook_dict[name].add_hook(hook, "fwd")
        for name, hook in backward:
            self.hook_dict[name].add_hook(hook, "bwd")
        return kept

    def run_with_cache(
        self,
        *model_args: Any,
        names_filter: NamesFilter = None,
        device: Any = None,
        remove_batch_dim: bool = False,
        incl_bwd: bool = False,
        return_cache_object: bool = True,
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        pos_slice: Slice | SliceInput = None,
        **model_kwargs: Any,
    ) -> tuple[Any, Any]:
        """(output, cache) of one pass: an ActivationCache, or its dictionary.

        Only what `names_filter`, `pos_slice` and the output need is computed. `incl_bwd`: the output must be
        a number, whose gradients are kept as <name>_grad.
        """
        cache, forward, backward = self.get_caching_hooks(
            names_filter, incl_bwd, device, remove_batch_dim, pos_slice=pos_slice
        )
        with self.hooks(forward, backward, reset_hooks_end, clear_contexts):
            out = self.forward(*model_args, **model_kwargs)
            if incl_bwd:
                out.backward()
        if return_cache_object:
            return out, ActivationCache(cache, self, has_batch_dim=not remove_batch_dim)
        return out, cache

    def _named(self, name: str | Callable[[str], bool]) -> list[str]:
        if not isinstance(name, str):
            return [found for found in self.hook_dict if name(found)]
        if name not in self.hook_dict:
            raise Error(f"unknown hook point '{name}': model.hook_dict lists all names")
        return [name]
