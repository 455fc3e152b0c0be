#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Which CUDA targets the scripts build for: without a compiler, without a GPU, and with GPUs of
# several kinds. Compiler and driver are scripts that answer as the real ones do.
# shellcheck source-path=SCRIPTDIR source=expect.sh
. "$(dirname "${BASH_SOURCE[0]}")/expect.sh"

FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT

# program NAME BODY: a script in FOLDER/bin.
program() {
  mkdir -p "$FOLDER/bin"
  printf '#!/bin/bash\n%s\n' "$2" >"$FOLDER/bin/$1"
  chmod +x "$FOLDER/bin/$1"
}
nvcc() {
  program nvcc "case \$1 in
    --version) echo 'Cuda compilation tools, release $1, V$1.1' ;;
    --list-gpu-code) printf 'sm_%s\\n' 80 86 89 90 90a ;;
  esac"
}

# chosen MODE OTHERWISE: CMake's options, then the line for the user, on a machine that has
# FOLDER/bin and the tools of the scripts alone.
chosen() {
  local tool
  mkdir -p "$FOLDER/tools"
  for tool in bash cat dirname grep head nproc paste sed sort timeout; do
    ln -sf "$(type -P "$tool")" "$FOLDER/tools/$tool"
  done
  # shellcheck disable=SC2016
  env -u CUDACXX -u CUDA_HOME -u CUDA_PATH PATH="$FOLDER/bin:$FOLDER/tools" bash -c '
    . "$0/lib.sh"
    CUDA_FOLDER=/nonexistent CUDA=$1
    choose_cuda "$2"
    printf "%s\n%s\n" "${CUDA_OPTIONS[*]}" "$CUDA_CHOICE"' "$SCRIPTS" "$@" 2>&1 | sed "s#$FOLDER/bin/##g"
}

# check NAME MODE OTHERWISE OPTIONS LINE
check() { expect "$1" "$4"$'\n'"$5" "$(chosen "$2" "$3")"; }
OFF=-DVITRINE_CUDA=OFF
on() { printf -- '-DVITRINE_CUDA=ON -DVITRINE_CUDA_ARCHITECTURES=%s -DCMAKE_CUDA_COMPILER=nvcc' "$1"; }

hint="with CUDA 12.4 or later, --cuda on builds it"
check "no compiler" auto OFF "$OFF" "CUDA: off, because no CUDA compiler (nvcc) was found; $hint"
check "no compiler, tests" auto 90a-real "$OFF" "CUDA: off, because no CUDA compiler (nvcc) was found; $hint"
expect "no compiler, on" "scripts: --cuda on: no CUDA compiler (nvcc) was found; install CUDA 12.4 or later, or use --cuda off" \
  "$(chosen on OFF)"

nvcc 11.8
check "old compiler" auto OFF "$OFF" "CUDA: off, because nvcc has version 11.8: expected 12.4 or later; $hint"

nvcc 12.4
hint="--cuda on builds it anyway"
check "no driver" auto OFF "$OFF" "CUDA: off, because no GPU answers (nvidia-smi); $hint"
check "no driver, tests" auto 90a-real "$(on 90a-real)" \
  "CUDA: compiled for 90a-real, although no GPU answers (nvidia-smi); --cuda off leaves it out"
check "no driver, on" on OFF "$(on '80-real;90a-real;90-virtual')" \
  "CUDA: on as requested, although no GPU answers (nvidia-smi); --cuda off builds for the CPU alone"

program nvidia-smi 'echo "NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver."; exit 9'
check "driver without GPU" auto OFF "$OFF" "CUDA: off, because no GPU answers (nvidia-smi); $hint"

# gpu CAPABILITIES TARGETS
gpu() {
  program nvidia-smi "printf '%s\\n' $1"
  check "GPU $1" auto OFF "$(on "$2")" \
    "CUDA: on, for the GPU of this machine ($2); --cuda off builds for the CPU alone"
}
gpu 8.0 80-real
gpu 8.9 89-real
gpu 9.0 90a-real
gpu 12.0 90-virtual
gpu "9.0 9.0" 90a-real
gpu "8.6 9.0" "86-real;90a-real"
gpu "7.5 8.6" 86-real
check "GPU, off" off OFF "$OFF" "CUDA: off as requested; --cuda auto builds for the GPU of this machine"

program nvidia-smi "echo 7.5"
check "old GPU" auto OFF "$OFF" \
  "CUDA: off, because the GPU has compute capability 7.5: expected 8.0 or later; $hint"
finish_test
