# SPDX-License-Identifier: MIT
"""The error that everything in this package raises for invalid input."""

from typing import Literal


class Error(RuntimeError):
    """One line: what is wrong with which value, what was expected, the fix."""

    kind: Literal["user", "internal"] = "user"
    """ "internal" for a defect, or a failure of the machine."""
