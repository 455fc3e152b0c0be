# SPDX-License-Identifier: MIT
"""Parts of a pass as nodes of torch's graph: losses back-propagate through the engine to the hooks.

A site whose functions were called cuts the pass. The value that the engine brings there is a node of the
graph, a function of the cut before and of the engine's own state there, for which a number is in the graph. So
torch does the backward passes of the nodes from the last one to the first.
"""

from __future__ import annotations

import enum
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from vitrine._vitrine import Capture, Edit, Gradients, Place, Target
from vitrine.transformer_lens.arrays import to_engine, to_torch
from vitrine.transformer_lens.captures import captures
from vitrine.transformer_lens.hook_points import CachingHook
from vitrine.until_exit import Key

if TYPE_CHECKING:
    from vitrine.transformer_lens.passes import Pass
    from vitrine.transformer_lens.site import Site

Values = npt.NDArray[np.float32]

_KEPT_BACKWARDS = 4
_numbers = itertools.count(1)


class Passed(enum.Enum):
    """What of the gradient with respect to a cut's value its functions pass on to what the engine brought there."""

    ALL = enum.auto()
    NOTHING = enum.auto()
    OTHER = enum.auto()


def node(run: Pass, site: str, value: torch.Tensor, last: bool = False) -> torch.Tensor:
    """`value`, which the engine computed at `site`, as a function of the cuts so far."""
    before = run.cuts[-1] if run.cuts else None
    found, run.state = _Node.apply(run.key, site, [value], list(run.cuts), last, run.anchor, run.state, before)
    return found


class _Node(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        run: Key,
        site: str,
        value: list[torch.Tensor],
        cuts: list[torch.Tensor],
        last: bool,
        _anchor: torch.Tensor,
        _state: torch.Tensor | None,
        _before: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.run, ctx.site, ctx.last = run, site, last
        ctx.set_materialize_grads(False)
        # The values that the pass had; a change in place afterwards is an error of torch.
        ctx.save_for_backward(*cuts)
        return value[0], torch.zeros((), dtype=torch.float64)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor | None, number: torch.Tensor | None) -> tuple[Any, ...]:
        run: Pass = ctx.run.value()
        cuts = ctx.saved_tensors
        if number is None:
            assert gradient is not None
            number = torch.tensor(next(_numbers), dtype=torch.float64)
            needed = [cut.requires_grad for cut in cuts]
            backward = Backward(run, ctx.site, to_engine(gradient), [to_engine(cut) for cut in cuts], needed, ctx.last)
        else:
            backward = run.backwards.pop(int(number))
            backward.continue_with(len(cuts), gradient)
        found = backward.gradient(len(cuts) - 1)
        more = ctx.needs_input_grad[6]
        if more:
            run.backwards[int(number)] = backward
        while len(run.backwards) > _KEPT_BACKWARDS:
            # torch ends a backward pass early, and does not say so, where no earlier gradient is wanted.
            run.backwards.pop(next(iter(run.backwards)))
        # torch adds other gradients in place.
        before = None if found is None else to_torch(found.copy(), cuts[-1].dtype, cuts[-1].device)
        return None, None, None, None, None, None, number if more else None, before


class Backward:
    """A backward pass of torch: one of the engine, as long as the functions at the cuts leave gradients unchanged.

    Where one changed a gradient, or a loss reads the cut as well, another pass of the engine begins at the end, too,
    and has the known gradients at the later cuts.
    """

    def __init__(
        self, run: Pass, site: str, gradient: Values, cuts: list[Values], needed: list[bool], last: bool
    ) -> None:
        # The pass holds this object.
        self.native, self.request, self.dtype, self.device = run.native, run.request, run.dtype, run.device
        self.site, self.target = site, [_target(site, one) for one in gradient]
        self.names, self.passed, self.needed = run.cut_names[: len(cuts)], run.passed[: len(cuts)], needed
        self.values = dict(zip(self.names, cuts))
        hooked = [site for site in run.sites if site.backward and site.engine not in run.cut_names] if last else []
        # What only keeps gradients needs no call: the engine captures them.
        self.kept = [site for site in hooked if all(isinstance(hook, CachingHook) for hook in site.backward)]
        self.called = [site for site in hooked if site not in self.kept]
        self.latest, self.latest_gradient = site, gradient
        self.known: dict[str, Values] = {}
        """gradients with respect to what the engine brought to the cuts that torch has been at"""
        self.found: dict[str, Values] = {}
        """gradients with respect to the values of cuts, right if those at the cuts between are passed on unchanged"""

    def continue_with(self, cut: int, gradient: torch.Tensor | None) -> None:
        """Takes the gradient with respect to what the engine brought to a cut."""
        name = self.names[cut]
        found, passed = self.found.get(name), self.passed[cut]
        given = np.zeros_like(self.values[name]) if gradient is None else to_engine(gradient)
        if passed is Passed.ALL and found is not None:
            expected = np.array_equal(given, to_engine(self._tensor(found)))
        else:
            expected = passed is Passed.NOTHING and not given.any()
        if not expected:
            self.found = {}
        self.latest, self.latest_gradient = name, given
        self.known[name] = given

    def gradient(self, cut: int) -> Values | None:
        """The gradient with respect to the value of a cut, or of none with -1; None if nothing needs it."""
        if cut >= 0 and self.names[cut] == self.latest:
            return self.latest_gradient if self.needed[cut] else None
        wanted = self._wanted(cut)
        if any(name not in self.found for name in wanted[:1]) or (not self.known and (self.kept or self.called)):
            self._run(wanted)
        return self.found[self.names[cut]] if cut >= 0 and self.needed[cut] else None

    def _wanted(self, last: int) -> list[str]:
        """The cuts from `last` to the first whose gradients one pass gives."""
        wanted: list[str] = []
        first = self.needed.index(True) if True in self.needed else last + 1
        for i in range(last, first - 1, -1):
            if self.names[i] not in wanted:
                wanted.append(self.names[i])
            if self.passed[i] is Passed.OTHER:
                break
        return wanted

    def _run(self, wrt: list[str]) -> None:
        """A pass of the engine."""
        wanted = dict.fromkeys([*wrt, *(kept.engine for kept in self.kept)])
        # A pass needs something to differentiate with respect to, even where functions alone want gradients.
        wanted = wanted or {self.called[0].engine: None}
        found = self._gradients(captures(wanted), self._edits())
        for kept in reversed(self.kept):
            call_backward_hooks(kept, kept.seen_gradient(self._tensor(_stacked(found, kept.engine))))
        self.found = {name: _stacked(found, name) for name in wrt}

    def _gradients(self, wrt: list[Capture], edits: list[Edit]) -> list[Gradients]:
        request = self.request
        if request.residual is None:
            return self.native.gradients(request.tokens, self.target, wrt=wrt, edits=edits)
        first = min(request.start, self.native.config.layers - 1)  # a pass begins with a block
        return self.native.gradients_from(first, list(to_engine(request.residual)), self.target, wrt=wrt, edits=edits)

    def _tensor(self, values: Values) -> torch.Tensor:
        return to_torch(values, self.dtype, self.device)

    def _edits(self) -> list[Edit]:
        edits = []
        if self.request.padding is not None:
            layers = range(self.request.start, _end(self.site, self.native.config.layers))
            edits = self.request.padding.edits(layers, self.request.residual is None)
        for name, values in self.values.items():
            passed_on = all(passed is Passed.ALL for cut, passed in zip(self.names, self.passed) if cut == name)
            edits.append(replacement(name, values, self.known.get(name), passed_on))
        for called in self.called:
            edits += self._observers(called, len(self.request.tokens))
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
                whole = self._tensor(np.stack([values for _, values in found]))
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


def replacement(name: str, values: Values, gradient: Values | None = None, passed_on: bool = False) -> Edit:
    """A site's values [B, P, ...] in the place of what the engine computes.

    The gradient before it is `gradient`, or with `passed_on` that after it, or 0.
    """

    def put(_old: Values, place: Place) -> Values:
        return values[place.sequence]

    def change(after: Values, place: Place) -> None:
        if gradient is not None:
            after[...] = gradient[place.sequence]
        elif not passed_on:
            after[...] = 0

    return Edit.function(name, put, change)


def _stacked(found: list[Gradients], name: str) -> Values:
    return np.stack([gradients[name] for gradients in found])


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
