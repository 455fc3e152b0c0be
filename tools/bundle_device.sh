#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Packs what tools/device_check.sh needs into one file that runs on a machine with a GPU and nothing installed.

set -euo pipefail

usage() {
  cat <<TEXT
usage: tools/bundle_device.sh BUILD_DIR BUNDLE.tar.xz

BUILD_DIR   a build with CUDA (kernels_test, the engine's tests that run on every device, vitrine_cli,
            vitrine_bench_cli: see PROGRAMS). With -DVITRINE_CUDA_ARCHITECTURES=90a-real for an H100 or H200
            alone it stays small.

There: tar -xf BUNDLE.tar.xz; bundle/device_check.sh first bundle results; bundle/device_check.sh second bundle
results. The other machine needs a driver, and a glibc no older than this one's. A bundle of more than
VITRINE_BUNDLE_MB (default 40) is refused.
TEXT
}

die() {
  printf 'bundle_device: %s\n' "$*" >&2
  exit 2
}

if [[ ${1-} == -h || ${1-} == --help ]]; then usage && exit 0; fi
(($# == 2)) || die "wants BUILD_DIR and DEST; see --help"
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$1 BUNDLE=$2 MOST=${VITRINE_BUNDLE_MB:-40}
[[ -d $BUILD ]] || die "$BUILD is not a folder: expected the folder of a build"
[[ $BUNDLE == *.tar.xz ]] || die "invalid BUNDLE '$BUNDLE': expected a name that ends in .tar.xz"
[[ $MOST =~ ^[1-9][0-9]*$ ]] || die "invalid VITRINE_BUNDLE_MB '$MOST': expected megabytes, from 1"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
DEST=$WORK/bundle

PROGRAMS=(tests/kernels/kernels_test tests/engine/golden_test tests/engine/golden_small_test tests/engine/promises_test
  tests/engine/edits_test tests/engine/generate_test tests/engine/generation_golden_test tests/engine/gradients_test
  tests/engine/gradients_edits_test
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

# The programs themselves, not wrappers: compute-sanitizer and ncu do not follow a script. device_check.sh says where the libraries
# are; with patchelf the programs know it themselves (RPATH holds for libraries of libraries, too, RUNPATH does not). Line numbers stay.
install_program() {
  local name=${1##*/}
  cp "$BUILD/$1" "$DEST/bin/$name"
  strip --strip-unneeded "$DEST/bin/$name"
  if command -v patchelf >/dev/null; then patchelf --force-rpath --set-rpath "\$ORIGIN/../lib" "$DEST/bin/$name"; fi
}

mkdir -p "$DEST/lib" "$DEST/bin" "$DEST/tests" "$DEST/models"
for program in "${PROGRAMS[@]}"; do
  install_program "$program"
  for library in $(libraries_of "$BUILD/$program"); do cp -Lu "$library" "$DEST/lib/"; done
done
strip --strip-unneeded "$DEST"/lib/*
cp -r "$ROOT/tests/goldens" "$DEST/tests/"
cp -r "$ROOT/models/demo" "$DEST/models/"
cp "$ROOT"/tools/device_check*.sh "$DEST/"
cp -r "$ROOT/bench/peers" "$DEST/peers"
# What the second part holds its measurements against.
cp "$ROOT/tools/gpu_model.py" "$DEST/"
cp -r "$ROOT/tools/gpu_time" "$DEST/gpu_time"
find "$DEST" -name __pycache__ -prune -exec rm -r {} +
python3 "$ROOT/tools/gpu_model.py" --build "$BUILD" --json "$DEST/predicted.json" --out /dev/null ||
  printf 'bundle_device: no predictions are packed\n' >&2

# One dictionary over all programs, which hold the same kernels.
tar -C "$WORK" -cf - bundle | xz -T1 -6 --lzma2=preset=6,dict=256MiB >"$WORK/packed"
packed=$(($(stat -c %s "$WORK/packed") >> 20))
((packed <= MOST)) || die "the bundle takes $packed MB: expected at most $MOST; compile for one kind of GPU, -DVITRINE_CUDA_ARCHITECTURES=90a-real"
mv "$WORK/packed" "$BUNDLE"
printf 'bundle_device: %s takes %d MB (%d unpacked)\n' "$BUNDLE" "$packed" "$(($(du -sk "$DEST" | cut -f1) / 1024))"
