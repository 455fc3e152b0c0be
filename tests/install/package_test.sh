#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# package_test.sh SOURCE BUILD: packages what is built, and has scripts/package.sh check it. Skips without Debian's tools.
set -euo pipefail
for tool in cpack dpkg-deb dpkg-shlibdeps readelf; do
  command -v "$tool" >/dev/null || {
    echo "skipped: $tool is missing"
    exit 77
  }
done
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
"$1/scripts/package.sh" --no-install --no-build --build "$2" --out "$out"
