# SPDX-License-Identifier: MIT
"""CircuitsVis's functions, with its arguments, as pages that load nothing.

    import vitrine.circuitsvis as cv

    pattern = model.run(text, capture="blocks.2.attn.hook_pattern")["blocks.2.attn.hook_pattern"]
    cv.attention.attention_patterns(tokens, pattern)      # [heads, destination, source]
    cv.tokens.colored_tokens(tokens, values).save_html("tokens.html")

Each returns a Page: a notebook shows it, str() is its HTML.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from vitrine.error import Error
from vitrine.pages import Page, css_color, limits, shade, token_text
from vitrine.tensors import to_ids, to_numpy

_SCRIPT = """
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const make = (name, parent, text) => {
  const e = document.createElement(name);
  if (text !== undefined) e.textContent = text;
  parent.append(e);
  return e;
};
const shown = t => t === ' ' ? '\\u2423' : t.replaceAll('\\n', '\\u23ce').replaceAll('\\t', '\\u21e5');
const shade = (v, s) => {
  if (v === null || v === 0) return '';
  const limit = v > 0 ? s.high : s.low, share = limit * v > 0 ? Math.min(1, v / limit) : 0;
  return `color-mix(in srgb,${v > 0 ? s.plus : s.minus} ${(80 * share).toFixed(0)}%,transparent)`;
};
const digits = v => v === null ? 'not finite' : String(+v.toPrecision(5));
const root = document.getElementById('root');
const choose = (name, labels, change) => {
  const label = make('label', root, name), select = make('select', label);
  labels.forEach((text, i) => { make('option', select, text).value = i; });
  select.onchange = () => change(+select.value);
  label.hidden = labels.length < 2;
};
"""
_TOKENS = """
const at = {s: 0, a: 0, b: 0};
const draw = () => {
  line.replaceChildren();
  data.tokens[at.s].forEach((token, t) => {
    const v = data.values[at.s][t][at.a][at.b], span = make('span', line, shown(token));
    span.style.background = shade(v, data.scale ?? data.scales[at.s][at.a][at.b]);
    span.title = data.all ? data.second.labels.map((l, i) => `${l}: ${digits(data.values[at.s][t][0][i])}`).join('\\n')
      : digits(v);
  });
};
choose('Sample', data.tokens.map((_, i) => i), i => { at.s = i; draw(); });
choose(data.first.name, data.first.labels, i => { at.a = i; draw(); });
choose(data.second.name, data.second.labels, i => { at.b = i; draw(); });
const line = make('div', root);
line.className = 't';
draw();
"""
_HEADS = """
const n = data.tokens.length, m = data.attention[0][0].length, figures = [];
const hidden = (d, s) => data.mask && s > d;
const draw = h => {
  figures.forEach((f, i) => i === h ? f.setAttribute('aria-current', true) : f.removeAttribute('aria-current'));
  large.replaceChildren();
  const head = make('tr', large);
  make('th', head, data.axes ? 'to \\\\ from' : '');
  data.tokens.forEach(t => make('th', head, shown(t)));
  for (let d = 0; d < n; d++) {
    const row = make('tr', large);
    make('th', row, shown(data.tokens[d]));
    for (let s = 0; s < m; s++) {
      const cell = make('td', row), v = data.attention[h][d][s];
      if (hidden(d, s)) continue;
      cell.style.background = shade(v, data.scale);
      cell.title = `${shown(data.tokens[d])} from ${shown(data.tokens[s])}: ${digits(v)}`;
    }
  }
};
data.attention.forEach((map, h) => {
  if (data.attention.length < 2) return;
  const figure = make('figure', root), canvas = make('canvas', figure);
  make('div', figure, data.names[h]);
  canvas.width = m; canvas.height = n;
  canvas.style.width = '72px'; canvas.style.height = '72px';
  const pen = canvas.getContext('2d');
  map.forEach((row, d) => row.forEach((v, s) => {
    if (v === null || hidden(d, s)) return;
    const limit = v > 0 ? data.scale.high : data.scale.low;
    pen.globalAlpha = limit * v > 0 ? Math.min(1, v / limit) : 0;
    const color = v > 0 ? data.scale.plus : data.scale.minus, name = color.match(/^var\\((.*)\\)$/);
    pen.fillStyle = name ? getComputedStyle(document.documentElement).getPropertyValue(name[1]) : color;
    pen.fillRect(s, d, 1, 1);
  }));
  figure.tabIndex = 0;
  figure.onclick = figure.onfocus = () => draw(h);
  figures.push(figure);
});
const large = make('table', root);
draw(0);
"""
_TOPK = """
const at = {s: 0, a: 0, b: 0}, wide = 8;
const draw = () => {
  table.replaceChildren();
  const total = data.top[at.s][at.a][0].length;
  const end = Math.min(at.b + wide, total), head = make('tr', table);
  make('th', head, data.third);
  for (let j = at.b; j < end; j++) make('th', head, j);
  for (const [part, color] of [['top', data.scale.plus], ['bottom', data.scale.minus]]) {
    data[part][at.s][at.a].forEach((row, i) => {
      const line = make('tr', table);
      make('th', line, `${part} ${i + 1}`);
      for (let j = at.b; j < end; j++) {
        const [t, v] = row[j], cell = make('td', line, shown(data.tokens[at.s][t]));
        cell.style.boxShadow = `inset 3px 0 ${color}`;
        cell.title = `position ${t}: ${digits(v)}`;
      }
    });
  }
};
choose('Sample', data.samples, i => { at.s = i; draw(); });
choose(data.first.name, data.first.labels, i => { at.a = i; draw(); });
const starts = [];
for (let j = 0; j < data.top[0][0][0].length; j += wide) starts.push(j);
choose(`${data.third} from`, starts, i => { at.b = starts[i]; draw(); });
const table = make('table', root);
draw();
"""


def _page(title: str, data: dict[str, Any], script: str) -> Page:
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c")
    block = f'<script type="application/json" id="data">{text}</script>'
    return Page(title, f'<div id="root"></div>{block}<script>{_SCRIPT}{script}</script>')


def _listed(values: npt.NDArray[Any]) -> Any:
    """Nested lists of five digits; what is not finite is None."""
    if values.ndim:
        return [_listed(part) for part in values]
    return float(f"{values:.5g}") if np.isfinite(values) else None


def _floats(values: Any, name: str, rank: int) -> npt.NDArray[np.float64]:
    array = to_numpy(values).astype(np.float64)
    if array.ndim != rank or not array.size:
        raise Error(f"invalid {name} of shape {list(array.shape)}: expected {rank} axes, none empty")
    return array


def _tokens(tokens: Sequence[str], count: int, name: str = "tokens") -> list[str]:
    listed = [str(token) for token in tokens]
    if isinstance(tokens, str) or len(listed) != count:
        raise Error(f"invalid {name}: {len(listed)} for values of {count} tokens")
    return listed


def _labels(labels: Sequence[str] | None, count: int, name: str) -> list[str]:
    listed = [str(n) for n in range(count)] if labels is None else [str(label) for label in labels]
    if len(listed) != count:
        raise Error(f"invalid {name}: {len(listed)} labels, expected {count}")
    return listed


def _scale(low: float, high: float, minus: str | None = None, plus: str | None = None) -> dict[str, Any]:
    if not (np.isfinite(low) and np.isfinite(high)):
        raise Error(f"invalid minimum {low} or maximum {high}: expected finite numbers")
    colors = {"minus": css_color(minus, "var(--minus)"), "plus": css_color(plus, "var(--plus)")}
    return {"low": float(low), "high": float(high), **colors}


def attention_heads(
    attention: Any,
    tokens: Sequence[str],
    attention_head_names: Sequence[str] | None = None,
    max_value: float | None = None,
    min_value: float | None = None,
    negative_color: str | None = None,
    positive_color: str | None = None,
    mask_upper_tri: bool | None = None,
) -> Page:
    """Maps `attention` [heads, destination, source] of a group of heads; one is shown in full when it is
    chosen. Values from `min_value` (-1) over 0 to `max_value` (1). `mask_upper_tri` (True): later sources
    are not shown."""
    maps = _floats(attention, "attention", 3)
    if maps.shape[1] != maps.shape[2]:
        raise Error(f"invalid attention of shape {list(maps.shape)}: expected [heads, T, T]")
    data = {
        "tokens": _tokens(tokens, maps.shape[1]),
        "attention": _listed(maps),
        "names": _labels(attention_head_names, len(maps), "attention_head_names")
        if attention_head_names is not None
        else [f"Head {n}" for n in range(len(maps))],
        "mask": mask_upper_tri is not False,
        "axes": True,
        "scale": _scale(
            -1 if min_value is None else min_value,
            1 if max_value is None else max_value,
            negative_color,
            positive_color,
        ),
    }
    return _page("Attention", data, _HEADS)


def attention_patterns(tokens: Sequence[str], attention: Any) -> Page:
    """Maps `attention` [heads, destination, source]."""
    return attention_heads(attention, tokens)


def attention_pattern(
    tokens: Sequence[str],
    attention: Any,
    max_value: float | None = None,
    min_value: float | None = None,
    negative_color: str | None = None,
    show_axis_labels: bool | None = None,
    positive_color: str | None = None,
    mask_upper_tri: bool | None = None,
) -> Page:
    """One map `attention` [destination, source]. `show_axis_labels` (True) says which axis is which."""
    maps = _floats(attention, "attention", 2)
    data = {
        "tokens": _tokens(tokens, len(maps)),
        "attention": _listed(maps[None]),
        "mask": mask_upper_tri is not False,
        "axes": show_axis_labels is not False,
        "scale": _scale(
            -1 if min_value is None else min_value,
            1 if max_value is None else max_value,
            negative_color,
            positive_color,
        ),
    }
    if maps.shape[0] != maps.shape[1]:
        raise Error(f"invalid attention of shape {list(maps.shape)}: expected [T, T]")
    return _page("Attention", data, _HEADS)


def _colored(
    title: str,
    tokens: list[list[str]],
    values: list[npt.NDArray[np.float64]],
    first: tuple[str, list[str]],
    second: tuple[str, list[str]],
    **more: Any,
) -> Page:
    data = {
        "tokens": tokens,
        "values": [_listed(one) for one in values],
        "first": {"name": first[0], "labels": first[1]},
        "second": {"name": second[0], "labels": second[1]},
        **more,
    }
    if "scale" not in more:
        data["scales"] = [
            [[_scale(*limits(one[:, a, b])) for b in range(one.shape[2])] for a in range(one.shape[1])]
            for one in values
        ]
    return _page(title, data, _TOKENS)


def colored_tokens(
    tokens: Sequence[str],
    values: Any,
    min_value: float | None = None,
    max_value: float | None = None,
    negative_color: str | None = None,
    positive_color: str | None = None,
) -> Page:
    """Tokens on backgrounds by their `values` [T], from the least over 0 to the greatest."""
    numbers = _floats(values, "values", 1)
    finite = numbers[np.isfinite(numbers)]
    ends = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    scale = _scale(
        ends[0] if min_value is None else min_value,
        ends[1] if max_value is None else max_value,
        negative_color,
        positive_color,
    )
    listed = _tokens(tokens, len(numbers))
    return _colored("Tokens", [listed], [numbers[:, None, None]], ("", [""]), ("", [""]), scale=scale)


def colored_tokens_multi(tokens: Sequence[str], values: Any, labels: Sequence[str] | None = None) -> Page:
    """Tokens on backgrounds by one of K `values` [T, K]; the pointer shows all."""
    numbers = _floats(values, "values", 2)
    listed, kinds = _tokens(tokens, len(numbers)), _labels(labels, numbers.shape[1], "labels")
    return _colored("Tokens", [listed], [numbers[:, None]], ("", [""]), ("Value", kinds), all=True)


def text_neuron_activations(
    tokens: Sequence[str] | Sequence[Sequence[str]],
    activations: Any,
    first_dimension_name: str | None = "Layer",
    second_dimension_name: str | None = "Neuron",
    first_dimension_labels: Sequence[str] | None = None,
    second_dimension_labels: Sequence[str] | None = None,
) -> Page:
    """Tokens on backgrounds by their `activations` [T, layers, neurons], of a chosen layer and neuron; of
    several texts, lists of both."""
    several = isinstance(activations, (list, tuple))
    values = [_floats(one, "activations", 3) for one in (activations if several else [activations])]
    texts: Sequence[Any] = tokens if several else [tokens]
    if len(texts) != len(values) or len({one.shape[1:] for one in values}) != 1:
        raise Error("invalid activations: expected [T, layers, neurons] for each text, of the same layers and neurons")
    listed = [_tokens(text, len(one)) for text, one in zip(texts, values)]
    first = _labels(first_dimension_labels, values[0].shape[1], "first_dimension_labels")
    second = _labels(second_dimension_labels, values[0].shape[2], "second_dimension_labels")
    names = (first_dimension_name or "", second_dimension_name or "")
    return _colored("Activations", listed, values, (names[0], first), (names[1], second))


def topk_tokens(
    tokens: Sequence[Sequence[str]],
    activations: Sequence[Any],
    max_k: int = 10,
    first_dimension_name: str = "Layer",
    third_dimension_name: str = "Neuron",
    sample_labels: Sequence[str] | None = None,
    first_dimension_labels: Sequence[str] | None = None,
) -> Page:
    """The tokens of each text at which each neuron is highest and lowest. `activations`: for each text
    [layers, T, neurons]."""
    values = [_floats(one, "activations", 3) for one in activations]
    if not values or len(tokens) != len(values) or len({(len(one), one.shape[2]) for one in values}) != 1:
        raise Error("invalid activations: expected [layers, T, neurons] for each text, of the same layers and neurons")
    if max_k < 1:
        raise Error(f"invalid max_k {max_k}: expected at least 1")
    top: list[Any] = []
    bottom: list[Any] = []
    for one in values:
        order = np.argsort(-one, axis=1, kind="stable")
        count = min(max_k, one.shape[1])
        for part, chosen in ((top, order[:, :count]), (bottom, order[:, -count:])):
            found = np.take_along_axis(one, chosen, 1)
            pairs = [[list(zip(*row)) for row in zip(ids, nums)] for ids, nums in zip(chosen.tolist(), _listed(found))]
            part.append(pairs)
    data = {
        "tokens": [_tokens(text, one.shape[1]) for text, one in zip(tokens, values)],
        "top": top,
        "bottom": bottom,
        "samples": _labels(sample_labels, len(values), "sample_labels"),
        "first": {
            "name": first_dimension_name,
            "labels": _labels(first_dimension_labels, len(values[0]), "first_dimension_labels"),
        },
        "third": third_dimension_name,
        "scale": _scale(-1, 1),
    }
    return _page("Top tokens", data, _TOPK)


def token_log_probs(token_indices: Any, log_probs: Any, to_string: Callable[[int], str], top_k: int = 10) -> Page:
    """Tokens on backgrounds by their log-probability; the pointer shows rank and the `top_k` likeliest.

    `token_indices` [T], `log_probs` [T, V] of the next token. The first token is not shown."""
    ids = to_ids(token_indices, "token_indices")
    ids = ids[0] if ids.ndim == 2 and len(ids) == 1 else ids
    given = to_numpy(log_probs)
    table = _floats(given[0] if given.ndim == 3 and len(given) == 1 else given, "log_probs", 2)
    if ids.ndim != 1 or len(ids) != len(table) or len(ids) < 2:
        raise Error(f"invalid token_indices of shape {list(ids.shape)}: expected [{len(table)}], at least 2")
    if not ((ids >= 0) & (ids < table.shape[1])).all() or not 1 <= top_k <= table.shape[1]:
        raise Error(f"invalid token_indices or top_k {top_k}: expected ids and a number within {table.shape[1]}")
    spans = []
    chosen = table[np.arange(len(ids) - 1), ids[1:]]
    low = float(np.min(chosen, where=np.isfinite(chosen), initial=-1e-9))
    for row, token, value in zip(table, ids[1:], chosen):
        best = np.argsort(-row, kind="stable")[:top_k]
        hint = [f"log-probability {value:.4g}, rank {1 + int((row > value).sum())}"]
        hint += [f"{n + 1}. {to_string(int(one))!r} {row[one]:.4g}" for n, one in enumerate(best)]
        style, text = shade(float(value), low, -low), token_text(str(to_string(int(token))))
        spans.append(f'<span title="{html.escape(chr(10).join(hint))}" style="{style}">{text}</span>')
    return Page("Log-probabilities", f'<div class="t">{"".join(spans)}</div>')


attention = SimpleNamespace(
    attention_heads=attention_heads,
    attention_pattern=attention_pattern,
    attention_patterns=attention_patterns,
)
tokens = SimpleNamespace(colored_tokens=colored_tokens, colored_tokens_multi=colored_tokens_multi)
activations = SimpleNamespace(text_neuron_activations=text_neuron_activations)
logits = SimpleNamespace(token_log_probs=token_log_probs)
