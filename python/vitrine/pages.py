# SPDX-License-Identifier: MIT
"""Small pages: HTML that loads nothing, in light and dark, framed in notebooks."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vitrine.error import Error
from vitrine.types import Path

_STYLE = """
:root{color-scheme:light dark;--plus:#2f6fd0;--minus:#c8472f;--line:#8886}
@media(prefers-color-scheme:dark){:root{--plus:#4a8cf0;--minus:#e66648}}
body{font:14px/1.5 system-ui,sans-serif;margin:12px;background:Canvas;color:CanvasText}
h1{font-size:15px;margin:0 0 8px}
table{border-collapse:collapse;margin:4px 0}
th{font-weight:normal;opacity:.75;padding:1px 6px;text-align:right;white-space:pre}
td{border:1px solid var(--line);padding:1px 6px;text-align:right;white-space:pre;min-width:1em}
.t{white-space:pre-wrap;border-radius:3px;padding:2px 0;line-height:2}
.t span{border-bottom:1px solid var(--line);padding:2px 1px}
select,input{margin:0 12px 8px 4px}canvas{image-rendering:pixelated;border:1px solid var(--line);cursor:pointer}
figure{display:inline-block;margin:4px;text-align:center;font-size:12px}figure[aria-current]{outline:2px solid}
"""


class Page:
    """A page: shown by a notebook, written by save_html(); str() is its HTML."""

    def __init__(self, title: str, body: str) -> None:
        """`body`: HTML whose texts are escaped."""
        self.title = title
        self.body = body

    def html(self) -> str:
        """A whole document that loads nothing."""
        title = html.escape(self.title)
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
            f"<title>{title}</title><style>{_STYLE}</style></head>"
            f"<body><h1>{title}</h1>{self.body}</body></html>"
        )

    def save_html(self, path: Path) -> None:
        """Writes the page: whole or not at all."""
        whole = os.fspath(path)
        part = f"{whole}.{os.getpid()}.part"
        try:
            with open(part, "w", encoding="utf-8") as file:
                file.write(self.html())
            os.replace(part, whole)
        except OSError as error:
            if os.path.exists(part):
                os.remove(part)
            raise Error(f"cannot write {whole}: {error.strerror}") from error

    def __str__(self) -> str:
        return self.html()

    def _repr_html_(self) -> str:
        source = html.escape(self.html())
        style = "width:100%;height:420px;border:0"
        return f'<iframe sandbox="allow-scripts" style="{style}" srcdoc="{source}"></iframe>'


def token_text(token: str) -> str:
    """A token as escaped HTML, in which line ends can be seen."""
    shown = "\u2423" if token == " " else token
    return html.escape(shown.replace("\n", "\u23ce").replace("\t", "\u21e5"))


def css_color(color: str | None, default: str) -> str:
    """A color that a user gave, checked so that it cannot be more than a color."""
    if color is None:
        return default
    if not re.fullmatch(r"[#\w(),.%/\s-]+", color):
        raise Error(f"invalid color {color!r}: expected one of CSS, such as 'red' or '#3366cc'")
    return color


def shade(
    value: float,
    low: float,
    high: float,
    negative: str = "var(--minus)",
    positive: str = "var(--plus)",
) -> str:
    """The style of a value: 0 is transparent, `high` the positive color, `low` the negative one, of a
    strength on which text can be read."""
    if not np.isfinite(value):
        return "background:repeating-linear-gradient(45deg,#8884 0 4px,transparent 4px 8px)"
    limit, color = (high, positive) if value > 0 else (low, negative)
    share = min(1.0, value / limit) if limit * value > 0 else 0.0
    return f"background:color-mix(in srgb,{color} {80 * share:.0f}%,transparent)" if share else ""


def token_line(tokens: Sequence[str], values: npt.ArrayLike, hints: Sequence[str] | None = None) -> str:
    """Tokens on a background by their values; `hints` appear under the pointer."""
    numbers = np.asarray(values, np.float64)
    low, high = limits(numbers)
    spans = []
    for i, (token, value) in enumerate(zip(tokens, numbers)):
        hint = html.escape(hints[i] if hints else f"{value:.4g}")
        spans.append(f'<span title="{hint}" style="{shade(value, low, high)}">{token_text(token)}</span>')
    return f'<div class="t">{"".join(spans)}</div>'


def grid(
    rows: Sequence[str],
    columns: Sequence[str],
    values: npt.ArrayLike,
    texts: Sequence[Sequence[str]] | None = None,
) -> str:
    """A table of numbers on a background by their values, or of `texts` on it."""
    numbers = np.asarray(values, np.float64)
    low, high = limits(numbers)
    head = "".join(f"<th>{token_text(column)}</th>" for column in columns)
    lines = [f"<tr><th></th>{head}</tr>"]
    for r, row in enumerate(rows):
        cells = "".join(
            f'<td title="{value:.5g}" style="{shade(value, low, high)}">'
            f"{token_text(texts[r][c]) if texts else format(value, '.3g')}</td>"
            for c, value in enumerate(numbers[r])
        )
        lines.append(f"<tr><th>{token_text(row)}</th>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def limits(values: npt.NDArray[Any]) -> tuple[float, float]:
    """The ends of a scale on which both signs are equally dark."""
    finite = values[np.isfinite(values)]
    limit = float(np.abs(finite).max()) if finite.size else 0.0
    return -limit, limit
