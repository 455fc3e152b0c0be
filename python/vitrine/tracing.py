# SPDX-License-Identifier: MIT
"""`with vitrine.trace(model, prompt) as t`: captures and edits in nnsight's manner.

    with vitrine.trace(model, "The keys to the cabinet") as t:
        hidden = t.h[3].output.save()             # [1, T, D]
        t.h[4].mlp.output[:, -1] = 0              # an edit
        t.h[5].output += direction
        logits = t.lm_head.output.save()
    hidden.value, logits[0, -1]                   # NumPy arrays, after the block

The source is not rewritten: the block runs first and says what to capture and to edit, the pass runs at its
end. So a value is known after the block, and what is assigned must be known in it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from vitrine._vitrine import Edit, Model, sites
from vitrine.error import Error
from vitrine.tensors import to_numpy
from vitrine.types import Prompt

# Sites of nnsight's modules: their input and output. With "!", the value is read elsewhere too, so it
# cannot be changed there; {n} is the layer, {last} the last one.
_MODULES = {
    "wte": (None, "hook_embed"),
    "wpe": (None, "hook_pos_embed"),
    "h": ("blocks.{n}.hook_resid_pre", "blocks.{n}.hook_resid_post"),
    "h.ln_1": ("!blocks.{n}.hook_resid_pre", "blocks.{n}.ln1.hook_normalized"),
    "h.attn": ("blocks.{n}.ln1.hook_normalized", "blocks.{n}.hook_attn_out"),
    "h.ln_2": ("!blocks.{n}.hook_resid_mid", "blocks.{n}.ln2.hook_normalized"),
    "h.mlp": ("blocks.{n}.ln2.hook_normalized", "blocks.{n}.hook_mlp_out"),
    "h.mlp.c_fc": ("blocks.{n}.ln2.hook_normalized", "blocks.{n}.mlp.hook_pre"),
    "h.mlp.act": ("blocks.{n}.mlp.hook_pre", "blocks.{n}.mlp.hook_post"),
    "h.mlp.c_proj": ("blocks.{n}.mlp.hook_post", "blocks.{n}.hook_mlp_out"),
    "ln_f": ("blocks.{last}.hook_resid_post", "ln_final.hook_normalized"),
    "lm_head": ("ln_final.hook_normalized", "logits"),
}
_ELSEWHERE = {
    "grad": "Model.gradients(prompt, target, wrt=site) has gradients",
    "iter": "the edits and captures of a generation apply to all its steps",
    "all": "the edits and captures of a generation apply to all its steps",
    "next": "the edits and captures of a generation apply to all its steps",
    "stop": "what nothing needs is not computed",
    "skip": "assign the output",
    "cache": "Model.run(prompt, capture='*') captures every site",
    "barrier": "invokes run one after the other",
    "scan": "Plan.describe has the shapes",
    "edit": "Model.compile(edits=) keeps edits for many passes",
    "source": "t['SITE'] has every site by its name, vitrine.sites() lists them",
    "generator": "max_new_tokens makes a generation, t.ids has its tokens",
}


def trace(model: Model, prompt: Prompt | None = None, *, max_new_tokens: int = 0, **options: Any) -> Trace:
    """A block whose accesses become captures and edits of one pass, which runs at its end.

    Without a prompt, each `with t.invoke(prompt):` in the block is a pass, which runs at the end of it.
    With `max_new_tokens` a pass is a generation, with the `options` of Model.generate.
    """
    return Trace(model, prompt, max_new_tokens, options)


class Saved:
    """A value that save() keeps: an array [1, T, ...] after the block."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._value: npt.NDArray[np.float32] | None = None

    @property
    def value(self) -> npt.NDArray[np.float32]:
        if self._value is None:
            raise Error(f"the value of {self._name} is not known yet: the pass runs at the end of the block")
        return self._value

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    def __getitem__(self, index: Any) -> Any:
        return self.value[index]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.value, dtype=dtype) if copy else np.asarray(self.value, dtype=dtype)

    def __repr__(self) -> str:
        return f"<{self._name}: {'not known yet' if self._value is None else list(self._value.shape)}>"


class _Changed:
    """A site's part, scaled and added to: the right side of an assignment to the same part."""

    __array_ufunc__ = None  # so that array - site is the site's operation

    def __init__(self, place: _Site, steps: list[tuple[str, Any]]) -> None:
        self.place, self.steps = place, steps

    def __mul__(self, factor: Any) -> _Changed:
        if np.ndim(factor):
            raise Error("a site is multiplied by a number; t.apply(Edit.function(...)) has any function")
        return _Changed(self.place, [*self.steps, ("scale", float(factor))])

    def __add__(self, values: Any) -> _Changed:
        return _Changed(self.place, [*self.steps, ("add", values)])

    __rmul__ = __imul__ = __mul__
    __radd__ = __iadd__ = __add__

    def __truediv__(self, factor: Any) -> _Changed:
        return self.__mul__(1.0 / factor)

    __itruediv__ = __truediv__

    def __sub__(self, values: Any) -> _Changed:
        return self.__add__(-_known(values))

    __isub__ = __sub__

    def __rsub__(self, values: Any) -> _Changed:
        return self.__mul__(-1.0).__add__(values)

    def __neg__(self) -> _Changed:
        return self.__mul__(-1.0)

    def __getattr__(self, name: str) -> NoReturn:
        _refuse(name, "a site")


def _known(values: Any) -> npt.NDArray[np.float32]:
    if isinstance(values, (_Site, _Changed)):
        raise Error(
            "a site's value is not known in the block: save() it in an earlier invoke, or t.apply(Edit.function(...))"
        )
    return to_numpy(values).astype(np.float32)


class _Site(_Changed):
    """A site of the present pass, or a part of it."""

    def __init__(self, scope: _Pass, name: str, index: tuple[Any, ...] | None = None, fixed: bool = False) -> None:
        super().__init__(self, [])
        self._scope, self._name, self._index, self._fixed = scope, name, index, fixed

    def save(self) -> Saved:
        """Keeps the value, [1, T, ...] or its part, until after the block."""
        return self._scope.save(self._name, self._index)

    def __getitem__(self, index: Any) -> _Site:
        if self._index is not None:
            raise Error("a site is indexed once: output[0, -1], with the batch axis first")
        given = index if isinstance(index, tuple) else (index,)
        return _Site(self._scope, self._name, given, self._fixed)

    def __setitem__(self, index: Any, values: Any) -> None:
        self[index].assign(values)

    def assign(self, values: Any) -> None:
        """What `=` does."""
        if self._fixed:
            raise Error(f"{self._name} is read by others, too: change it at the block's input or output")
        if isinstance(values, _Changed):
            same = values.place
            if same._scope is not self._scope or same._name != self._name or same._index != self._index:
                _known(values)
            for kind, operand in values.steps:
                self._scope.change(self._name, self._index, kind, operand)
        else:
            self._scope.change(self._name, self._index, "replace", values)


class _Module:
    """A module by nnsight's name: .output, .input and the modules inside."""

    _scope: _Pass
    _path: str
    _layer: int | None

    def __init__(self, scope: _Pass, path: str, layer: int | None = None) -> None:
        self.__dict__.update(_scope=scope, _path=path, _layer=layer)

    def _site(self, name: str) -> _Site:
        pair = _MODULES.get(self._path)
        chosen = pair[name == "output"] if pair else None
        if chosen is None or (self._path == "h" and self._layer is None):
            raise Error(f"unknown {self._path or 'model'}.{name}: see vitrine.sites() for t['SITE']")
        last = self._scope.model.config.layers - 1
        return _Site(self._scope, chosen.lstrip("!").format(n=self._layer, last=last), None, chosen[0] == "!")

    @property
    def output(self) -> _Site:
        return self._site("output")

    @property
    def input(self) -> _Site:
        return self._site("input")

    def __setattr__(self, name: str, values: Any) -> None:
        if name not in ("output", "input"):
            raise Error(f"unknown {self._path}.{name}: output and input can be assigned")
        self._site(name).assign(values)

    def __getitem__(self, layer: int) -> _Module:
        layers = self._scope.model.config.layers
        if self._path != "h" or self._layer is not None or not -layers <= layer < layers:
            raise Error(f"invalid index {layer} of {self._path}: expected h[0] to h[{layers - 1}]")
        return _Module(self._scope, "h", layer % layers)

    def __getattr__(self, name: str) -> _Module:
        path = f"{self._path}.{name}" if self._path else name
        if path == "transformer":
            return self
        if path not in _MODULES or (path.startswith("h.") and self._layer is None):
            _refuse(name, self._path or "the trace")
        return _Module(self._scope, path, self._layer)


def _refuse(name: str, owner: str) -> NoReturn:
    if name.startswith("__"):
        raise AttributeError(name)
    known = ", ".join(_MODULES)
    raise Error(f"unknown {name} of {owner}: {_ELSEWHERE.get(name, f'expected one of {known}, or a site by name')}")


class _Pass:
    """One prompt's captures and edits."""

    def __init__(self, model: Model, prompt: Prompt, max_new_tokens: int, options: dict[str, Any]) -> None:
        self.model = model
        self.ids = model.encode(prompt) if isinstance(prompt, str) else [int(token) for token in prompt]
        self.new, self.options = max_new_tokens, options
        self.saved: list[tuple[str, tuple[Any, ...] | None, Saved]] = []
        self.edits: list[Edit] = []

    def save(self, name: str, index: tuple[Any, ...] | None) -> Saved:
        self.shape(name)
        found = Saved(name)
        self.saved.append((name, index, found))
        return found

    def shape(self, name: str) -> list[int]:
        """[1, T, ...] of a site; Error if it does not exist."""
        layers, c = self.model.config.layers, self.model.config
        for site in sites():
            names = [site["name"].format(layer=n) for n in range(layers if site["per_layer"] else 1)]
            if name in names:
                sizes = {
                    "T": len(self.ids),
                    "D": c.width,
                    "H": c.heads,
                    "K": c.head_width,
                    "M": c.inner,
                    "V": c.vocab,
                    "1": 1,
                }
                return [1, *(sizes[axis] for axis in site["shape"].strip("[]").split(", "))]
        raise Error(f"unknown site {name!r}: vitrine.sites() lists them")

    def change(self, name: str, index: tuple[Any, ...] | None, kind: str, operand: Any) -> None:
        if any(saved == name for saved, _, _ in self.saved):
            raise Error(
                f"{name} is saved before it is changed: a capture reads a site after its edits; save it in "
                "another invoke"
            )
        shape = self.shape(name)
        where = self._where(name, shape, index)
        if kind == "scale":
            self.edits.append(Edit.scale(name, operand, **where))
            return
        values = _known(operand)
        if not values.ndim and not values and kind == "replace":
            self.edits.append(Edit.zero(name, **where))
            return
        if "attn_scores" in name or "pattern" in name:
            raise Error(f"{name} can be multiplied by a number or set to 0; t.apply(Edit...) has more")
        try:
            if self.new:  # an edit applies to every pass, so its operand has no positions
                row = np.empty(shape, bool)[(0, 0, *(index or ())[2:])].shape
                ones = max(0, values.ndim - len(row))
                flat = values.reshape(values.shape[ones:]) if values.shape[:ones] == (1,) * ones else values
                operand = np.broadcast_to(flat, row).reshape(-1)
            else:
                positions = np.arange(shape[1])[_listed(index, 1)].tolist()
                part = np.empty(shape, bool)[index if index is not None else ()].shape
                operand = np.broadcast_to(values, part).reshape(len(positions), -1)
                where["positions"] = positions
        except (ValueError, IndexError) as error:
            raise Error(f"invalid values of shape {list(values.shape)} for {name}: {error}") from None
        self.edits.append(getattr(Edit, kind)(name, np.ascontiguousarray(operand), **where))

    def _where(self, name: str, shape: list[int], index: tuple[Any, ...] | None) -> dict[str, Any]:
        """An index as the arguments of an edit."""
        if index is None:
            return {}
        if len(index) > len(shape) or not (index[0] == 0 or index[0] == -1 or index[0] == slice(None)):
            raise Error(f"invalid index {index} of {name}: expected at most {len(shape)} axes, the first 0 or :")
        axes = ["positions", "neurons"] if len(shape) == 3 else ["positions", "heads", "neurons"]
        if "attn_scores" in name or "pattern" in name:
            axes = ["heads", "positions", "neurons"]
        found: dict[str, Any] = {}
        for axis, part in zip(axes, index[1:]):
            if part is Ellipsis or part is None or isinstance(part, bool):
                raise Error(f"invalid index {part} of {name}: expected an int, a slice or a list of ints")
            if not isinstance(part, slice) or part != slice(None):
                found[axis] = part
        if self.new and found.get("positions") not in (None, -1):
            raise Error("invalid position: an edit of a generation applies to all positions, or to -1, the newest")
        if axes[0] == "positions" and sum(isinstance(p, (list, np.ndarray)) for p in found.values()) > 1:
            raise Error(f"invalid index {index} of {name}: one list of indices at most")
        return found

    def run(self) -> list[int]:
        """Runs the pass; the tokens of the whole text."""
        names = list(dict.fromkeys(name for name, _, _ in self.saved))
        run: Any
        if self.new:
            run = self.model.generate(self.ids, self.new, capture=names, edits=self.edits, **self.options)
        else:
            # "logits" is a site like the others here
            run = self.model.run(self.ids, capture=names, edits=self.edits, logits="none")
        for name, index, saved in self.saved:
            value = run[name][None]
            saved._value = value if index is None else value[index]
        return self.ids + (run.ids if self.new else [])


def _listed(index: tuple[Any, ...] | None, axis: int) -> Any:
    """The index of one axis, which keeps the axis."""
    part = slice(None) if index is None or len(index) <= axis else index[axis]
    return [part] if isinstance(part, (int, np.integer)) else part


class Trace:
    """The object of `with vitrine.trace(...) as t`: t.h[3].output, t["blocks.3.hook_resid_post"], t.invoke()."""

    def __init__(self, model: Model, prompt: Prompt | None, max_new_tokens: int, options: dict[str, Any]) -> None:
        if max_new_tokens < 0:
            raise Error(f"invalid max_new_tokens {max_new_tokens}: expected 0, a pass, or more")
        if options and not max_new_tokens:
            raise Error(f"unknown option {min(options)} of trace: options of Model.generate need max_new_tokens")
        self._make: Callable[[Prompt], _Pass] = lambda given: _Pass(model, given, max_new_tokens, options)
        self._now = None if prompt is None else self._make(prompt)
        self._alone = prompt is not None
        self.ids: list[int] = []
        """The tokens of the last pass, with the generated ones, after it."""

    def __enter__(self) -> Trace:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None and self._alone:
            self._finish()

    def _finish(self) -> None:
        self.ids = self._scope().run()
        self._now = None

    def invoke(self, prompt: Prompt) -> _Invoke:
        """`with t.invoke(prompt):` one pass of several; values of earlier ones are known in it."""
        if self._alone:
            raise Error("trace() has a prompt: leave it out to invoke several")
        if self._now is not None:
            raise Error("an invoke inside an invoke: they run one after the other")
        return _Invoke(self, prompt)

    def _scope(self) -> _Pass:
        if self._now is None:
            raise Error("no pass here: inside `with vitrine.trace(model, prompt) as t:` or `with t.invoke(prompt):`")
        return self._now

    def apply(self, edit: Edit) -> None:
        """Adds an edit of any kind."""
        self._scope().edits.append(edit)

    def __getitem__(self, site: str) -> _Site:
        """A site by its whole name."""
        self._scope().shape(site)
        return _Site(self._scope(), site)

    def __setitem__(self, site: str, values: Any) -> None:
        self[site].assign(values)

    def __getattr__(self, name: str) -> _Module:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _ELSEWHERE:
            _refuse(name, "the trace")
        module: _Module = getattr(_Module(self._scope(), ""), name)
        return module


class _Invoke:
    def __init__(self, owner: Trace, prompt: Prompt) -> None:
        self._owner, self._prompt = owner, prompt

    def __enter__(self) -> Trace:
        self._owner._now = self._owner._make(self._prompt)
        return self._owner

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._owner._finish()
        else:
            self._owner._now = None
