#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A corpus by torchrun on one or several nodes: rank and world are torchrun's, the GPU is that of LOCAL_RANK.
#
#   scripts/slurm/torchrun.sh --nproc-per-node 8 -- corpus.jsonl --capture "blocks.5.hook_resid_post" \
#     --store f16 --model gpt2 --device cuda --out /shared/acts
#
# Options before -- are torchrun's (--nnodes, --rdzv-endpoint, --max-restarts). A task that torchrun starts again goes
# on after its last shard.
set -eu
options=()
while (($#)) && [[ $1 != -- ]]; do
  options+=("$1")
  shift
done
(($# > 1)) || { echo "torchrun.sh: expected torchrun's options, --, and the arguments of vitrine corpus" >&2; exit 2; }
shift
exec torchrun "${options[@]}" --no-python vitrine corpus "$@" --progress plain
