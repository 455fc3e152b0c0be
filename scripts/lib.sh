# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Shared by the scripts: options, packages, the choice of CUDA, configure, build. Sourced, never
# run.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
JOBS=$(nproc 2>/dev/null || echo 2)
BUILD=
CUDA=auto
CUDA_FOLDER=/usr/local/cuda
INSTALL=1
ARGUMENTS=("$@")

# What a build, the tests, and the sanitizers and fuzzers need. docs/DEPENDENCIES.md gives the
# reasons.
# shellcheck disable=SC2034
{
  BUILD_PACKAGES=(cmake ninja-build g++ libfmt-dev libhwy-dev nlohmann-json3-dev libcli11-dev
    libsentencepiece-dev libpcre2-dev libutf8proc-dev libeigen3-dev libboost-graph-dev
    libcairo2-dev libxxhash-dev libcurl4-openssl-dev libssl-dev)
  TEST_PACKAGES=(libgtest-dev libbenchmark-dev libboost-context-dev chromium fonts-dejavu-core
    python3-dev python3-venv dpkg-dev xz-utils)
  CLANG_PACKAGES=(clang-14 libclang-rt-14-dev lld-14)
  FORMAT_PACKAGES=(clang-format-14)
}

say() { printf '%s\n' "$*"; }
die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}
# counts_of LOG: "passed failed skipped" of the last closing line of scripts/test.sh.
counts_of() {
  sed -nE 's/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p' "$1" | tail -n 1
}
usage_error() {
  printf '%s: %s; see --help\n' "${0##*/}" "$*" >&2
  exit 2
}

# parse_options OPTION...: the options that demo.sh and test.sh share. parse_own_option() and
# usage() are the calling script's; parse_own_option sets TAKEN to the number of arguments it
# used, or 0.
parse_options() {
  while (($#)); do
    case $1 in
      --build | --jobs | --cuda)
        (($# >= 2)) || usage_error "$1 needs a value"
        case $1 in
          --build) BUILD=$2 ;;
          --jobs) JOBS=$2 ;;
          --cuda) CUDA=$2 ;;
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
      *)
        TAKEN=0
        parse_own_option "$@"
        ((TAKEN)) || usage_error "unknown option '$1'"
        shift "$TAKEN"
        ;;
    esac
  done
  [[ $JOBS =~ ^[1-9][0-9]*$ ]] ||
    usage_error "invalid --jobs '$JOBS': expected a whole number from 1"
  [[ $CUDA =~ ^(auto|on|off)$ ]] || usage_error "invalid --cuda '$CUDA': expected auto, on or off"
}

# set_build_folder DEFAULT: BUILD becomes the absolute path of --build DIR, or of DEFAULT in the
# tree.
set_build_folder() {
  [[ $BUILD ]] || BUILD=$ROOT/$1
  [[ $BUILD == /* ]] || BUILD=$PWD/$BUILD
}

is_installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

# ensure_packages PACKAGE...: installs the missing ones; with none missing it needs no network.
ensure_packages() {
  ((INSTALL)) || return 0
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    die "this system has no apt-get; install the equivalents of Debian's $*, then use --no-install"
  fi
  local package missing=() as_root=() started=$SECONDS
  for package; do
    is_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      die "missing packages: ${missing[*]}; run as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "Installing ${missing[*]}"
  local log
  log=$(mktemp)
  # A failed update does not stop the script: the packages may be cached, and if not, install fails.
  "${as_root[@]}" apt-get update -q >"$log" 2>&1 || true
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
    -o DPkg::Lock::Timeout=300 install --no-install-recommends "${missing[@]}" \
    </dev/null >>"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "apt-get could not install: ${missing[*]}"
  fi
  rm -f "$log"
  say "Installed in $((SECONDS - started)) s"
}

# With `sudo scripts/...` only the packages need root: the build belongs to the user who owns the
# tree.
drop_sudo() {
  if ((EUID == 0)) && [[ ${SUDO_UID:-0} != 0 ]] &&
    sudo -n -u "#$SUDO_UID" test -w "$ROOT" 2>/dev/null; then
    exec sudo -n -u "#$SUDO_UID" -H -- "$ROOT/scripts/${0##*/}" "${ARGUMENTS[@]}"
  fi
}

check_writable() {
  if [[ -e $BUILD && ! -w $BUILD ]]; then
    die "$BUILD belongs to $(stat -c %U "$BUILD"); run as that user, remove it, or use --build DIR"
  fi
}

# find_nvcc: the path of the CUDA compiler, where CMake or a default installation has it.
find_nvcc() {
  local candidate
  for candidate in "${CUDACXX:-}" "$(type -P nvcc)" "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" \
    "${CUDA_PATH:+$CUDA_PATH/bin/nvcc}" "$CUDA_FOLDER/bin/nvcc"; do
    if [[ $candidate ]] && type -P "$candidate"; then return 0; fi
  done
  return 1
}

# gpu_capabilities: the compute capability of each kind of GPU that answers, as 90, one a line.
# A driver that hangs or is too old for the question has no GPU to offer.
gpu_capabilities() {
  type -P nvidia-smi >/dev/null || return 0
  timeout 20 nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null |
    sed -nE 's/^ *([0-9]+)\.([0-9]+) *$/\1\2/p' | sort -nu || true
}

# cuda_architecture CAPABILITY NVCC: what CMake compiles for that GPU. Compute capability 9.0 needs
# its own instructions (90a); a GPU newer than the compiler gets PTX.
cuda_architecture() {
  if (($1 == 90)); then
    say 90a-real
  elif grep -qx "sm_$1" < <("$2" --list-gpu-code 2>/dev/null); then
    say "$1-real"
  else
    say 90-virtual
  fi
}

# choose_cuda OFF|ARCHITECTURES: what --cuda MODE means on this machine. Sets CUDA_OPTIONS for CMake
# and CUDA_CHOICE, the line for the user. Where no GPU answers, auto compiles for the given
# ARCHITECTURES, or without CUDA (OFF).
# shellcheck disable=SC2034
choose_cuda() {
  local otherwise=$1 nvcc='' version why='' capability found=() targets=() list
  CUDA_OPTIONS=(-DVITRINE_CUDA=OFF)
  if [[ $CUDA == off ]]; then
    CUDA_CHOICE="CUDA: off as requested; --cuda auto builds for the GPU of this machine"
    return
  fi
  if nvcc=$(find_nvcc); then
    version=$("$nvcc" --version 2>/dev/null | sed -nE 's/.*release ([0-9]+\.[0-9]+).*/\1/p')
    if [[ $(printf '%s\n' 12.4 "${version:-0}" | sort -V | head -n 1) != 12.4 ]]; then
      why="$nvcc has version ${version:-unknown}: expected 12.4 or later"
      nvcc=
    fi
  else
    why="no CUDA compiler (nvcc) was found"
  fi
  if [[ $nvcc ]]; then
    mapfile -t found < <(gpu_capabilities)
    for capability in "${found[@]}"; do
      ((capability < 80)) || targets+=("$(cuda_architecture "$capability" "$nvcc")")
    done
    why="no GPU answers (nvidia-smi)"
    ((${#found[@]} == 0)) ||
      why="the GPU has compute capability ${found[0]:0:-1}.${found[0]: -1}: expected 8.0 or later"
  fi

  if ((${#targets[@]})); then
    list=$(printf '%s\n' "${targets[@]}" | sort -u | paste -sd ';')
    CUDA_CHOICE="CUDA: on, for the GPU of this machine ($list); --cuda off builds for the CPU alone"
  elif [[ $nvcc && $CUDA == on ]]; then
    # CMake's default: every target of a release.
    list='80-real;90a-real;90-virtual'
    CUDA_CHOICE="CUDA: on as requested, although $why; --cuda off builds for the CPU alone"
  elif [[ $nvcc && $otherwise != OFF ]]; then
    list=$otherwise
    CUDA_CHOICE="CUDA: compiled for $list, although $why; --cuda off leaves it out"
  elif [[ $CUDA == on ]]; then
    die "--cuda on: $why; install CUDA 12.4 or later, or use --cuda off"
  elif [[ $nvcc ]]; then
    CUDA_CHOICE="CUDA: off, because $why; --cuda on builds it anyway"
    return
  else
    CUDA_CHOICE="CUDA: off, because $why; with CUDA 12.4 or later, --cuda on builds it"
    return
  fi
  CUDA_OPTIONS=(-DVITRINE_CUDA=ON "-DVITRINE_CUDA_ARCHITECTURES=$list"
    "-DCMAKE_CUDA_COMPILER=$nvcc")
}

# find_disassembler NVCC: sets DISASSEMBLER to the path of cuobjdump, which reads the kernels' machine code: the toolkit's, or
# else NVIDIA's package of it, in a Python environment of the build folder; empty if neither can be had, and it says so.
find_disassembler() {
  local environment=$BUILD/disassembler
  DISASSEMBLER=$(type -P cuobjdump "$(dirname "$1")/cuobjdump" | head -n 1) || true
  [[ ! $DISASSEMBLER ]] || return 0
  if ((INSTALL)) && [[ ! -e $environment/done ]]; then
    rm -rf "$environment"
    python3 -m venv "$environment" >/dev/null 2>&1 &&
      "$environment/bin/pip" -q install nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm >/dev/null 2>&1 &&
      touch "$environment/done"
  fi
  DISASSEMBLER=$(compgen -G "$environment/lib/python3*/site-packages/nvidia/*/bin/cuobjdump" | head -n 1) || true
  [[ $DISASSEMBLER ]] ||
    say "cuobjdump is neither in the toolkit nor was it installed from PyPI: tests of the kernels' machine code are skipped"
}

# find_python: sets PYTHON to an interpreter that has what the Python package and its tests need:
# that of --python, or one in an environment of the build folder; empty if PyPI cannot be reached,
# and it says so.
find_python() {
  local environment=$BUILD/python-environment
  if [[ $PYTHON ]]; then
    "$PYTHON" -c 'import nanobind, numpy, pytest' 2>/dev/null ||
      usage_error "invalid --python '$PYTHON': expected an interpreter with nanobind, numpy and pytest"
    return
  fi
  if ((INSTALL)) && [[ ! -e $environment/done ]]; then
    rm -rf "$environment"
    python3 -m venv "$environment" >/dev/null 2>&1 &&
      "$environment/bin/pip" -q install 'nanobind>=3.1,<4' numpy pytest mypy nbclient ipykernel >/dev/null 2>&1 &&
      touch "$environment/done"
  fi
  if [[ -e $environment/done ]]; then
    PYTHON=$environment/bin/python
  else
    say "nanobind, numpy, pytest, mypy, nbclient and ipykernel were not installed from PyPI: the Python package is neither built nor tested"
  fi
}

# awk whose output follows its input at once: mawk, Debian's, otherwise reads a pipe in blocks.
live_awk() {
  if [[ $(awk -W version 2>&1 </dev/null) == *mawk* ]]; then awk -W interactive "$@"; else awk "$@"; fi
}

# ninja's progress on a terminal is one line that moves; elsewhere each tenth of the build is a
# line.
run_ninja() {
  if [[ -t 1 ]]; then
    ninja -C "$BUILD" -j "$JOBS" "$@"
    return
  fi
  NINJA_STATUS='[%f/%t %e] ' ninja -C "$BUILD" -j "$JOBS" "$@" 2>&1 | live_awk '
    /^ninja: Entering directory/ { next }
    /^\[[0-9]+\/[0-9]+ [0-9.]+\] / {
      split(substr($1, 2), at, "/")
      if (at[1] * 10 >= tenth * at[2]) {
        printf "%d of %d built, %d s\n", at[1], at[2], $2
        fflush()
        while (at[1] * 10 >= tenth * at[2]) ++tenth
      }
      next
    }
    BEGIN { tenth = 1 }
    { print; fflush() }'
}

# configure OPTION...: prepares BUILD with CMake.
configure() {
  local log=$BUILD/configure.log options=(-G Ninja "$@") home compiler wanted=c++ started=$SECONDS
  # ccache keeps objects compiled with a precompiled header only if told to ignore these.
  export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros}
  command -v ccache >/dev/null &&
    options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
  check_writable
  mkdir -p "$BUILD"
  # A folder that was configured for another tree (a moved clone) or another compiler is of no use.
  home=$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$BUILD/CMakeCache.txt" 2>/dev/null || true)
  compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$BUILD/CMakeCache.txt" 2>/dev/null || true)
  [[ " $* " == *" -DCMAKE_CXX_COMPILER=clang++"* ]] && wanted=clang++
  if [[ $home && $home != "$ROOT" ||
    $wanted == clang++ && $compiler && $compiler != *clang++* ]]; then
    say "Configuring $BUILD from the start: it was configured for $home with $compiler"
    rm -rf "$BUILD/CMakeCache.txt" "$BUILD/CMakeFiles"
  fi
  if ! cmake -S "$ROOT" -B "$BUILD" "${options[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    [[ " $* " != *VITRINE_CUDA=ON* ]] || die "configuring failed; --cuda off builds without CUDA"
    die "configuring failed"
  fi
  say "Configured in $((SECONDS - started)) s"
}

# build TARGET...
build() {
  local started=$SECONDS
  say "Building in $BUILD with $JOBS jobs"
  run_ninja "$@" || die "the build failed"
  say "Built in $((SECONDS - started)) s"
}

# changed_files: what differs from BASE_COMMIT, committed or not. Fails if there is no such
# commit. The base is VITRINE_BASE, or where the branch left origin/main, or, on main itself, ten
# commits ago.
changed_files() {
  local head
  head=$(git -C "$ROOT" rev-parse HEAD 2>/dev/null) || return 1
  BASE_COMMIT=${VITRINE_BASE:-$(git -C "$ROOT" merge-base HEAD origin/main 2>/dev/null || true)}
  if [[ ! $BASE_COMMIT || ! ${VITRINE_BASE:-} && $BASE_COMMIT == "$head" ]]; then
    BASE_COMMIT=$(git -C "$ROOT" rev-list --max-count=11 --first-parent HEAD | tail -n 1)
    [[ $BASE_COMMIT != "$head" ]] || return 1
  fi
  git -C "$ROOT" diff --name-only "$BASE_COMMIT" -- 2>/dev/null || return 1
  git -C "$ROOT" ls-files --others --exclude-standard
}

# libraries_from_elsewhere FOLDER LOG: of what LD_DEBUG=libs says was loaded, all that is neither in
# FOLDER, nor a runtime that the manylinux standard takes from the system, nor Python's own.
libraries_from_elsewhere() {
  sed -nE 's/.*calling init: (.*)/\1/p' "$2" | sort -u | grep -vF "$1/" |
    grep -vE '/(libc|libm|libdl|librt|libpthread|libstdc\+\+|libgcc_s|libutil|libz|libexpat|libffi|libpython[0-9.]+|ld-linux-x86-64|ld-linux-aarch64)\.so' |
    grep -vE '/lib-dynload/' || true
}

# run_alone FOLDER COMMAND...: runs a command of the folder in it, and refuses libraries from elsewhere.
run_alone() {
  local folder=$1 log elsewhere
  log=$(mktemp)
  (cd "$folder" && env -u PYTHONPATH -u LD_LIBRARY_PATH LD_DEBUG=libs LD_DEBUG_OUTPUT="$log" \
    "$folder/$2" "${@:3}" </dev/null) || die "failed: ${*:2}"
  elsewhere=$(for one in "$log".*; do libraries_from_elsewhere "$folder" "$one"; done | sort -u)
  rm -f "$log" "$log".*
  [[ ! $elsewhere ]] || die "libraries of the system were loaded by $2: $elsewhere"
}
