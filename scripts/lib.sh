# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# What demo.sh and test.sh share: options, packages, configure, build. Sourced, never run.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
JOBS=$(nproc 2>/dev/null || echo 2)
BUILD=
SANITIZE=
INSTALL=1
ARGUMENTS=("$@")

# What a build needs, and what the tests and micro-benchmarks need on top. docs/DEPENDENCIES.md gives the reasons.
# shellcheck disable=SC2034
BUILD_PACKAGES=(cmake ninja-build g++ libfmt-dev libhwy-dev nlohmann-json3-dev libcli11-dev libsentencepiece-dev libeigen3-dev libboost-graph-dev
  libcairo2-dev)
# shellcheck disable=SC2034
TEST_PACKAGES=(libgtest-dev libbenchmark-dev libboost-context-dev chromium fonts-dejavu-core)

say() { printf '%s\n' "$*"; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Takes the options that both scripts have; usage() is the calling script's.
parse_options() {
  while (($#)); do
    case $1 in
      --build | --jobs | --sanitize)
        (($# >= 2)) || die "$1 needs a value; see --help"
        case $1 in
          --build) BUILD=$2 ;;
          --jobs) JOBS=$2 ;;
          --sanitize) SANITIZE=$2 ;;
        esac
        shift 2
        ;;
      --no-install)
        INSTALL=0
        shift
        ;;
      -h | --help)
        usage
        exit 0
        ;;
      *) die "unknown option '$1'; see --help" ;;
    esac
  done
  [[ $JOBS =~ ^[1-9][0-9]*$ ]] || die "--jobs $JOBS: a whole number from 1 is needed"
  # A build with sanitizers never mixes its objects with one without.
  [[ $BUILD ]] || BUILD=$ROOT/build${SANITIZE:+-${SANITIZE//,/-}}
  [[ $BUILD == /* ]] || BUILD=$PWD/$BUILD
}

is_installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# ensure_packages PACKAGE...: installs those that are missing; with all there it touches neither apt nor the network.
ensure_packages() {
  ((INSTALL)) || return 0
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    die "needs Debian's packages (or their like here): $*; install them, then run again with --no-install"
  fi
  local package missing=() as_root=()
  for package; do
    is_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "missing packages: ${missing[*]}; run as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "Installing ${missing[*]}"
  local log
  log=$(mktemp)
  # An update that fails is no reason to stop: the packages may be at hand, and if they are not, the install says so.
  "${as_root[@]}" apt-get update -q >"$log" 2>&1 || true
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
    install --no-install-recommends "${missing[@]}" </dev/null >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "apt-get could not install: ${missing[*]}"
  fi
  rm -f "$log"
}

# `sudo scripts/...` by somebody whose tree this is: only the packages needed root; what is built belongs to them.
drop_sudo() {
  if ((EUID == 0)) && [[ ${SUDO_UID:-0} != 0 ]] && sudo -n -u "#$SUDO_UID" test -w "$ROOT" 2>/dev/null; then
    exec sudo -n -u "#$SUDO_UID" -H -- "$ROOT/scripts/${0##*/}" "${ARGUMENTS[@]}"
  fi
}

check_writable() {
  if [[ -e $BUILD && ! -w $BUILD ]]; then
    die "$BUILD belongs to $(stat -c %U "$BUILD"); run as that user, remove it, or name another with --build DIR"
  fi
}

# configure_and_build TARGET [-DNAME=VALUE...]
configure_and_build() {
  local target=$1 log started=$SECONDS
  shift
  local options=(-G Ninja "$@")
  # What ccache wants to be told before it keeps what was compiled with a precompiled header.
  export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros}
  command -v ccache >/dev/null && options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
  if [[ $SANITIZE ]]; then
    # Enough optimisation for the tests to fit, assertions of the standard library on, lines in the stack traces.
    # Code for GPUs has no sanitizer; its sources run under this one on the processor (tests/cuda_on_host).
    options+=("-DVITRINE_SANITIZE=$SANITIZE" -DCMAKE_BUILD_TYPE=Debug -DVITRINE_CUDA=OFF
      "-DCMAKE_CXX_FLAGS_DEBUG=-O1 -g1 -D_GLIBCXX_ASSERTIONS")
  else
    options+=(-DVITRINE_SANITIZE= -DCMAKE_BUILD_TYPE=Release)
  fi
  check_writable
  mkdir -p "$BUILD"
  # A build folder that another copy of the tree configured (a moved clone, a container's mount) cannot be taken over.
  local home
  home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$BUILD/CMakeCache.txt" 2>/dev/null || true)
  if [[ $home && $home != "$ROOT" ]]; then
    say "Starting $BUILD afresh: it was configured for $home"
    rm -rf "$BUILD/CMakeCache.txt" "$BUILD/CMakeFiles"
  fi
  say "Building in $BUILD with $JOBS jobs${SANITIZE:+, sanitizers $SANITIZE}"
  log=$BUILD/configure.log
  if ! cmake -S "$ROOT" -B "$BUILD" "${options[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    die "configuring failed"
  fi
  # On a terminal ninja shows one line that moves; elsewhere only what goes wrong.
  local quiet=(--quiet)
  [[ -t 1 ]] && quiet=()
  ninja -C "$BUILD" -j "$JOBS" "${quiet[@]}" "$target" || die "the build failed"
  say "Built in $((SECONDS - started)) s"
}
