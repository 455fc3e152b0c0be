# SPDX-License-Identifier: MIT
"""What a graph of torch needs, kept as long as the graph but not longer than Python.

torch frees no graph that is alive when Python ends, and everything that it holds would be reported as leaked.
"""

from __future__ import annotations

import atexit
from typing import Any
from weakref import WeakKeyDictionary


class Key:
    """Stands for a value that keep() keeps as long as the key lives."""

    __slots__ = ("__weakref__",)

    def value(self) -> Any:
        """The value. KeyError when Python ends."""
        return _values[self]


_values: WeakKeyDictionary[Key, Any] = WeakKeyDictionary()
atexit.register(_values.clear)


def keep(value: Any) -> Key:
    """A key of the value, which must not hold the key."""
    key = Key()
    _values[key] = value
    return key
