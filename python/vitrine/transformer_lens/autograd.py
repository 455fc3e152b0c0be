# SPDX-License-Identifier: MIT
"""Parts of a pass as nodes of torch's graph: losses back-propagate through the engine to the hooks.

A site whose functions were called cuts the pass. The value that the engine brings there is a node of the
graph with the values of all earlier cuts as inputs, and its backward pass is one of the engine that begins
at the site and ends at those cuts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from vitrine._vitrine import Edit, Gradients, Place, Target
from vitrine.transformer_lens.arrays import to_engine, to_torch
from vitrine.transformer_lens.captures import captures
from vitrine.transformer_lens.hook_points import CachingHook
from vitrine.until_exit import Key

if TYPE_CHECKING:
    from vitrine.transformer_lens.passes import Pass
    from vitrine.transformer_lens.site import Site

Values = npt.NDArray[np.float32]


def node(run: Pass, cuts: int, site: str, value: torch.Tensor, last: bool = False) -> torch.Tensor:
    """`value`, which the engine computed at `site`, as a function of the first `cuts` cuts."""
    found: torch.Tensor = _Node.apply(run.key, cuts, site, [value], last, run.anchor, *run.cuts[:cuts])
    return found


class _Node(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        run: Key,
        cuts: int,
        site: str,
        value: list[torch.Tensor],
        last: bool,
        _anchor: torch.Tensor,
        *inputs: torch.Tensor,
    ) -> torch.Tensor:
        ctx.run, ctx.site, ctx.last = run, site, last
        ctx.names = run.value().cut_names[:cuts]
        # The values that the pass had; a change in place afterwards is an error of torch.
        ctx.save_for_backward(*inputs)
        return value[0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        # Of two cuts at one site of the engine the later one has the site's value.
        names = ctx.names
        wanted = [i for i, needed in enumerate(ctx.needs_input_grad[6:]) if needed and names[i] not in names[i + 1 :]]
        values = [to_engine(value) for value in ctx.saved_tensors]
        run: Pass = ctx.run.value()
        hooked = [site for site in run.sites if site.backward and site.engine not in run.cut_names] if ctx.last else []
        found: list[torch.Tensor | None] = [None] * len(values)
        if wanted or hooked:
            backward = _Backward(run, names, values, hooked)
            made = backward.run(ctx.site, to_engine(gradient), [names[i] for i in wanted])
            for i, value in zip(wanted, made):
                found[i] = value.to(ctx.saved_tensors[i].dtype)
        return (None, None, None, None, None, None, *found)


class _Backward:
    """A backward pass: the cuts hold their values, and the functions of `hooked` see gradients."""

    def __init__(self, run: Pass, names: list[str], values: list[Values], hooked: list[Site]) -> None:
        self.pass_ = run
        self.names, self.values = names, values
        # What only keeps gradients needs no call: the engine captures them.
        self.kept = [site for site in hooked if all(isinstance(hook, CachingHook) for hook in site.backward)]
        self.called = [site for site in hooked if site not in self.kept]

    def run(self, site: str, gradient: Values, wrt: list[str]) -> list[torch.Tensor]:
        """Gradients of the sum of `gradient` times the site's values with respect to the cuts `wrt`."""
        run, count = self.pass_, len(gradient)
        wanted = dict.fromkeys([*wrt, *(kept.engine for kept in self.kept)])
        # A pass needs something to differentiate with respect to, even where functions alone want gradients.
        wanted = wanted or {self.called[0].engine: None}
        found = run.native.gradients(
            run.request.tokens,
            [_target(site, gradient[b]) for b in range(count)],
            wrt=captures(wanted),
            edits=self._edits(site),
        )
        for kept in reversed(self.kept):
            call_backward_hooks(kept, kept.seen_gradient(self._stacked(found, kept.engine)))
        return [self._stacked(found, name) for name in wrt]

    def _stacked(self, found: list[Gradients], name: str) -> torch.Tensor:
        values = np.stack([gradients[name] for gradients in found])
        return to_torch(values, self.pass_.dtype, self.pass_.device)

    def _edits(self, site: str) -> list[Edit]:
        run = self.pass_
        edits = []
        if run.request.padding is not None:
            start = run.request.start
            edits = run.request.padding.edits(
                range(start, _end(site, run.native.config.layers)), run.request.residual is None
            )
        for name, values in zip(self.names, self.values):
            edits.append(replacement(name, values))
        for called in self.called:
            edits += self._observers(called, len(run.request.tokens))
        return edits

    def _observers(self, site: Site, count: int) -> list[Edit]:
        """Edits that change nothing, and give the gradients of all sequences to the functions of a site."""
        found: list[tuple[int, Values]] = []
        made: dict[int, Values] = {}

        def collect(gradient: Values, place: Place) -> None:
            found.append((place.sequence, gradient))

        def change(gradient: Values, place: Place) -> Values:
            if count == 1:
                found.append((place.sequence, gradient))
            if not made:
                found.sort(key=lambda item: item[0])
                whole = to_torch(np.stack([values for _, values in found]), self.pass_.dtype, self.pass_.device)
                changed = call_backward_hooks(site, site.seen_gradient(whole))
                made.update(enumerate(to_engine(whole if changed is None else site.taken_gradient(changed))))
            return made[place.sequence]

        def same(_values: Values, _place: Place) -> None:
            return None

        # In the backward pass the last edit comes first.
        edits = [Edit.function(site.engine, same, change)]
        return [*edits, Edit.function(site.engine, same, collect)] if count > 1 else edits


def call_backward_hooks(site: Site, gradient: torch.Tensor) -> torch.Tensor | None:
    """Calls the backward functions of a site with its gradient; returns what they put in its place, or None."""
    made: torch.Tensor | None = None
    for hook in site.backward:
        result = hook(gradient, hook=site.point)
        if isinstance(result, tuple):
            (result,) = result
        made = made if result is None else result
    return made


def replacement(name: str, values: Values) -> Edit:
    """A site's values [B, P, ...] in the place of what the engine computes, constant in gradients."""

    def put(_old: Values, place: Place) -> Values:
        return values[place.sequence]

    def nothing(gradient: Values, _place: Place) -> None:
        gradient[...] = 0

    return Edit.function(name, put, nothing)


def _target(site: str, gradient: Values) -> Target:
    """The sum of gradient times value, whose gradient is the vector-Jacobian product."""
    is_map = site.endswith(("hook_attn_scores", "hook_pattern"))
    rows = gradient.transpose(1, 0, 2) if is_map else gradient
    terms = [
        Target.linear(site, np.ascontiguousarray(row).reshape(-1), position=position)
        for position, row in enumerate(rows)
        if row.any() or position == 0
    ]
    target = terms[0]
    for term in terms[1:]:
        target = target + term
    return target


def _end(site: str, layers: int) -> int:
    """One past the last layer that a site needs."""
    return (
        int(site.split(".")[1]) + 1
        if site.startswith("blocks.")
        else layers
        if site == "logits" or "ln_final" in site
        else 0
    )
