# SPDX-License-Identifier: MIT
"""python -m vitrine: the command line."""

from vitrine.command import main

main()
