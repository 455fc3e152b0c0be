# SPDX-License-Identifier: MIT
"""One pass of the engine with hooks: functions become edits, caches become captures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from vitrine import until_exit
from vitrine._vitrine import Edit, Model, Place, RunBatch, Session
from vitrine.error import Error
from vitrine.transformer_lens import autograd
from vitrine.transformer_lens.arrays import batch_logits, batch_rows, to_engine, to_torch
from vitrine.transformer_lens.captures import Plans, Wanted, captures
from vitrine.transformer_lens.hook_points import CachingHook, HookPoint, position_axis
from vitrine.transformer_lens.inputs import Inputs, stream_of
from vitrine.transformer_lens.key_value_cache import HookedTransformerKeyValueCache
from vitrine.transformer_lens.padding import Padding
from vitrine.transformer_lens.site import Site, check_causal, shown

Values = npt.NDArray[np.float32]
Logits = Literal["all", "last", "none"]


@dataclass
class Request:
    """What a pass is to do. Layers `start` to `stop` - 1 run; the unembedding only with stop None."""

    tokens: npt.NDArray[np.int64]
    """[B, P]; what they are does not matter with a residual"""
    residual: torch.Tensor | None = None
    """[B, P, D]: the input of layer `start`"""
    start: int = 0
    stop: int | None = None
    padding: Padding | None = None
    cache: HookedTransformerKeyValueCache | None = None
    logits: Logits = "all"


@dataclass
class Pass:
    """A pass, while it runs and for the backward passes after it."""

    native: Model
    plans: Plans
    request: Request
    dtype: torch.dtype
    device: Any
    sites: list[Site]
    inputs: Inputs
    graph: bool
    """whether torch records a graph"""
    anchor: torch.Tensor
    cut_names: list[str] = field(default_factory=list)
    """sites whose values come from outside the engine, in the order of the pass"""
    cuts: list[torch.Tensor] = field(default_factory=list)
    """their values, in torch's graph"""
    passed: list[autograd.Passed] = field(default_factory=list)
    """what of a gradient their functions pass on to the engine"""
    state: torch.Tensor | None = None
    """takes the place in torch's graph of what else the engine has after the last cut"""
    backwards: dict[int, autograd.Backward] = field(default_factory=dict)
    """backward passes that have not come to the first cut"""
    key: until_exit.Key = field(init=False)
    """what the graph holds of this object"""

    def run(self) -> torch.Tensor | None:
        """Logits, the residual stream, or None."""
        self.key = until_exit.keep(self)
        try:
            return self._run()
        finally:
            # The graph keeps this object: it must not hold the graph, nor functions that hold its tensors.
            self.cuts, self.state = [], None
            del self.key
            for site in self.sites:
                site.forward = []

    def _run(self) -> torch.Tensor | None:
        request = self.request
        called = self._called()
        captured = [site for site in self.sites if site.forward and site not in [*called, *self.inputs.sites]]
        residual = self._entered(called)
        out_site = self._out_site()
        wanted: dict[str, tuple[int, ...] | None] = {}
        for site in captured:
            wanted[site.engine] = None if site.engine in wanted else self._positions(site)
        if out_site is not None:
            wanted[out_site] = None
        if request.cache is not None:
            wanted.update(dict.fromkeys(request.cache.sites(request.start, self._last_layer())))
        edits = self._padding_edits([*wanted, *(site.engine for site in called)])
        edits += [edit for site in called for edit in self._calls(site)]
        batch = self._engine(residual, wanted, edits)
        for site in captured:
            self._keep(site, batch)
        if request.cache is not None:
            request.cache.append(batch, request.start, self._last_layer(), self.dtype, self.device)
        if (out_site or "logits") in self.cut_names:
            return self.cuts[self.cut_names.index(out_site or "logits")]
        if out_site is None and request.logits == "none":
            return None
        out = batch_logits(batch) if out_site is None else batch_rows(batch, out_site)
        return self._output(to_torch(out, self.dtype, self.device), out_site or "logits")

    def _called(self) -> list[Site]:
        """The sites where the engine must call: others are captured."""
        backward = self.graph and any(site.backward for site in self.sites)
        copies = [site for site in self.sites if stream_of(site.name) is not None]
        own = [site for site in self.sites if site not in copies]
        self.inputs.sites = [site for site in copies if not site.captured() or (backward and site.backward)]
        cut_all = backward and (self.inputs.sites or any(not site.captured() for site in own))
        called = [site for site in own if not site.captured() or (cut_all and site.backward)]
        # A capture sees a site after all its edits, also those of a hook point that comes later.
        edited = {*(site.engine for site in called), *self.inputs.engine_sites()}
        called = [site for site in own if site in called or site.engine in edited]
        known = {site.engine for site in called}
        return [*called, *(Site(HookPoint(name), [], []) for name in self.inputs.engine_sites() if name not in known)]

    def _entered(self, called: list[Site]) -> torch.Tensor | None:
        """The residual that the pass begins with, after the functions at its site."""
        residual = self.request.residual
        if residual is None:
            return None
        name = self._entry()
        for site in called:
            if site.name == name:
                called.remove(site)
                residual, _ = self._chained(site, residual.clone())
                break
        self._cut(name, residual, autograd.Passed.OTHER)
        return residual

    def _cut(self, name: str, value: torch.Tensor, passed: autograd.Passed) -> None:
        self.cut_names.append(name)
        self.cuts.append(value)
        self.passed.append(passed)
        self.inputs.read(name, value, lambda site, copy: self._chained(site, copy)[0])

    def _entry(self) -> str:
        """The site where a given residual enters."""
        start, layers = self.request.start, self.native.config.layers
        return f"blocks.{start}.hook_resid_pre" if start < layers else f"blocks.{layers - 1}.hook_resid_post"

    def _last_layer(self) -> int:
        layers = self.native.config.layers
        return layers if self.request.stop is None else self.request.stop

    def _out_site(self) -> str | None:
        stop = self.request.stop
        if stop is None:
            return None
        if stop <= self.request.start:
            return self._entry()
        return f"blocks.{stop - 1}.hook_resid_post"

    def _positions(self, site: Site) -> tuple[int, ...] | None:
        """Positions to capture; None is all."""
        length = self.request.tokens.shape[1]
        chosen = [hook.positions(length) for hook in site.forward if isinstance(hook, CachingHook)]
        past = 0 if self.request.cache is None else self.request.cache.length()
        if len(chosen) != 1 or chosen[0] is None:
            return None
        return tuple(past + position for position in chosen[0])

    def _padding_edits(self, names: Sequence[str]) -> list[Edit]:
        """For padded batches. Layers that nothing wants to see stay out of the pass."""
        padding = self.request.padding
        if padding is None:
            return []
        layers = [int(name.split(".")[1]) for name in names if name.startswith("blocks.")]
        end = max(layers, default=-1) + 1
        if (self.request.logits != "none" and self.request.stop is None) or any(
            name.startswith(("ln_final", "logits")) for name in names
        ):
            end = self.native.config.layers
        return padding.edits(range(self.request.start, end), embeds=self.request.residual is None)

    def _engine(self, residual: torch.Tensor | None, wanted: Wanted, edits: list[Edit]) -> RunBatch:
        request = self.request
        logits: Logits = request.logits if request.stop is None else "none"
        count, length = request.tokens.shape
        runner: Model | Session = self.native
        if request.cache is not None:
            runner = request.cache.session(self.native, count, length)
        if residual is None:
            rows = request.tokens.tolist()
            if isinstance(runner, Model) and not edits:
                return runner.run(rows, plan=self.plans[wanted], logits=logits)
            return runner.run(rows, capture=captures(wanted), edits=edits, logits=logits)
        given = to_engine(residual)
        first = request.start
        if first == self.native.config.layers:
            edits = [autograd.replacement(self._entry(), given), *edits]
            first -= 1  # a pass begins with a block
        return runner.run_from(first, list(given), capture=captures(wanted), edits=edits, logits=logits)

    def _calls(self, site: Site) -> list[Edit]:
        """The edits that call a site's functions once with the values of all sequences.

        The engine calls a function for each sequence. The first edit collects them, the second one,
        which begins when all are there, distributes what the functions made of them.
        """
        count = self.request.tokens.shape[0]
        found: list[Values] = []
        made: list[Values] = []

        def collect(values: Values, _place: Place) -> None:
            found.append(values)

        def change(values: Values, _place: Place) -> Values:
            if count == 1:
                found.append(values)
            if not made:
                made.extend(self._fire(site, found))
                made.reverse()
            return made.pop()

        edits = [Edit.function(site.engine, collect, lambda *_: None)] if count > 1 else []
        return [*edits, Edit.function(site.engine, change, lambda *_: None)]

    def _fire(self, site: Site, found: list[Values]) -> list[Values]:
        """What the functions at a site make of the values of all sequences."""
        values = found[0][None] if len(found) == 1 else np.stack(found)
        if self.request.padding is not None:
            self.request.padding.hide(site.name, values)
        x = to_torch(values, self.dtype, self.device)
        if self.graph:
            x = autograd.node(self, site.engine, x)
        computed = self.inputs.value(site.engine, self.cuts)
        changed, unchanged = self._chained(site, site.seen(x) if computed is None else computed)
        y = site.taken(changed)
        check_causal(site.engine, y)
        passed = autograd.Passed.ALL if unchanged and site.affine is None else autograd.Passed.OTHER
        self._cut(site.engine, y, passed if computed is None else autograd.Passed.NOTHING)
        return list(to_engine(y))

    def _chained(self, site: Site, x: torch.Tensor) -> tuple[torch.Tensor, bool]:
        """What the functions at a site make, one after the other, and whether they left it as it was."""
        gradients: list[torch.Tensor] = []
        if self.graph and site.backward and x.requires_grad:
            x = x.view_as(x)
            # As in torch they are not called where only a loss that reads the functions' argument gives a gradient.
            x.register_hook(lambda _: autograd.call_backward_hooks(site, gradients.pop()) if gradients else None)
        y, shape, version = x, x.shape, x._version
        for hook in site.forward:
            made = hook(y, hook=site.point)
            if made is not None:
                y = made
        unchanged = y is x and y._version == version
        if not isinstance(y, torch.Tensor) or y.shape != shape:
            raise Error(
                f"the hook at {site.name} returned {shown(y)}: expected a tensor of shape {tuple(shape)}, or None"
            )
        if self.graph and site.backward and y.requires_grad:
            y = y.view_as(y)
            y.register_hook(gradients.append if x.requires_grad else lambda gradient: self._seen_only(site, gradient))
        return y, unchanged

    @staticmethod
    def _seen_only(site: Site, gradient: torch.Tensor) -> None:
        """The backward functions of a site where nothing before the forward ones requires gradients."""
        if autograd.call_backward_hooks(site, gradient) is not None:
            raise Error(f"the backward hook at {site.name} returned a gradient: nothing before it requires one")

    def _keep(self, site: Site, batch: RunBatch) -> None:
        values = batch_rows(batch, site.engine)
        if self.request.padding is not None:
            values = self.request.padding.hidden(site.name, values)
        all_rows = to_torch(values, self.dtype, self.device)
        length = self.request.tokens.shape[1]
        for hook in site.forward:
            assert isinstance(hook, CachingHook)
            whole = all_rows.shape[position_axis(site.engine)] == length
            rows = hook.sliced(all_rows, site.engine) if whole else all_rows
            hook.keep(site.name, self.inputs.seen(site, rows, hook))

    def _output(self, out: torch.Tensor, name: str) -> torch.Tensor:
        return autograd.node(self, name, out, last=True) if self.graph else out
