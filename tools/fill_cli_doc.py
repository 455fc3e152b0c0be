#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every `$ ...` line of the console blocks in docs/CLI.md and writes what it prints below it.

    python3 tools/fill_cli_doc.py BUILD_FOLDER/cli/vitrine
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "CLI.md"


def main():
    folder = pathlib.Path(sys.argv[1]).resolve().parent
    environment = dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}", COLUMNS="110")

    with tempfile.TemporaryDirectory() as where:
        (pathlib.Path(where) / "examples").symlink_to(ROOT / "examples")  # data of the examples

        def fill(match):
            lines = []
            for line in match.group(1).split("\n"):
                if not line.startswith("$ "):
                    continue
                done = subprocess.run(["bash", "-c", line[2:]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      env=environment, cwd=where)
                lines += [line, done.stdout.rstrip("\n")]
            return "```console\n" + "\n".join(line for line in lines if line) + "\n```"

        PAGE.write_text(re.sub(r"```console\n(.*?)\n```", fill, PAGE.read_text(), flags=re.S))


if __name__ == "__main__":
    main()
