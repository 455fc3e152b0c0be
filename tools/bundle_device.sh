#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Collects what tools/device_check.sh needs into one folder that runs on a machine with a GPU and nothing installed.

set -euo pipefail

usage() {
  cat <<TEXT
usage: tools/bundle_device.sh BUILD_DIR DEST

BUILD_DIR   a build with CUDA (kernels_test, the engine's tests that run on every device, vitrine_cli,
            vitrine_bench_cli: see PROGRAMS)
DEST        a new or empty folder

There: DEST/device_check.sh DEST OUT_DIR. The other machine needs a driver, and a glibc no older than this one's.
TEXT
}

die() {
  printf 'bundle_device: %s\n' "$*" >&2
  exit 2
}

if [[ ${1-} == -h || ${1-} == --help ]]; then usage && exit 0; fi
(($# == 2)) || die "wants BUILD_DIR and DEST; see --help"
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$1 DEST=$2
[[ -d $BUILD ]] || die "$BUILD is not a folder: expected the folder of a build"
if [[ -e $DEST ]] && [[ -n $(ls -A "$DEST") ]]; then die "$DEST is not empty; give a new folder"; fi

PROGRAMS=(tests/kernels/kernels_test tests/engine/golden_test tests/engine/golden_small_test tests/engine/promises_test
  tests/engine/edits_test tests/engine/generate_test tests/engine/gradients_test tests/engine/gradients_edits_test
  tests/engine/gradients_promises_test tests/engine/running_moments_test cli/vitrine
  cli/vitrine-bench)
missing=()
for program in "${PROGRAMS[@]}"; do [[ -x $BUILD/$program ]] || missing+=("$program"); done
((${#missing[@]} == 0)) || die "not built in $BUILD: ${missing[*]}"

# The libraries that a program loads, but for glibc's own and the driver's, which belong to the machine.
libraries_of() {
  ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' |
    grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv|libutil|libnsl|libanl|ld-linux[^/]*|libcuda|libnvidia[^/]*)\.so' || true
}

# Its own libraries come first, wherever the folder is.
install_program() {
  local name=${1##*/}
  if command -v patchelf >/dev/null; then
    cp "$BUILD/$1" "$DEST/$name"
    strip "$DEST/$name"
    patchelf --set-rpath "\$ORIGIN/lib" "$DEST/$name"
    return
  fi
  cp "$BUILD/$1" "$DEST/bin/$name"
  strip "$DEST/bin/$name"
  cat >"$DEST/$name" <<'WRAPPER'
#!/usr/bin/env bash
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
LD_LIBRARY_PATH=$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} exec "$here/bin/${0##*/}" "$@"
WRAPPER
  chmod +x "$DEST/$name"
}

mkdir -p "$DEST/lib" "$DEST/bin" "$DEST/tests" "$DEST/models"
for program in "${PROGRAMS[@]}"; do
  install_program "$program"
  for library in $(libraries_of "$BUILD/$program"); do cp -Lu "$library" "$DEST/lib/"; done
done
rmdir --ignore-fail-on-non-empty "$DEST/bin"
strip --strip-unneeded "$DEST"/lib/*
cp -r "$ROOT/tests/goldens" "$DEST/tests/"
cp -r "$ROOT/models/demo" "$DEST/models/"
cp "$ROOT/tools/device_check.sh" "$DEST/"

packed=$(tar -C "$DEST" -cf - . | gzip -6 | wc -c)
printf 'bundle_device: %s holds %s MB, %s MB packed\n' "$DEST" "$(($(du -sk "$DEST" | cut -f1) / 1024))" "$((packed >> 20))"
((packed <= 64 << 20)) || printf 'bundle_device: that is more than 64 MB packed; build without debugging information\n' >&2
