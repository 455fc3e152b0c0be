# SPDX-License-Identifier: MIT
"""Captures of a corpus on a cluster of Ray, by the engine's own shards and manifests.

    import vitrine.ray
    vitrine.ray.capture("corpus.jsonl", "/shared/acts", parts=512, actors=64, num_gpus=1,
                        model="gpt2", capture="blocks.5.hook_resid_post", store="f16", device="cuda")
    acts = vitrine.shards.open("/shared/acts")

A part is what rank r of `parts` is to `vitrine corpus`: the documents whose index modulo `parts` is r, in a
folder of their own. Names and bytes of its files follow from the documents and options alone, each file
appears whole or not at all, and a part goes on after its last shard. So each document is captured once,
whatever actor is lost; the same call goes on with what is missing. Only capture() and parts_table() need ray[data].
"""

from vitrine.ray.capture import Capture, capture
from vitrine.ray.cluster import parts_table
from vitrine.ray.commands import Command, Moments, merge_moments, run_command
from vitrine.ray.tables import table

__all__ = ["Capture", "Command", "Moments", "capture", "merge_moments", "parts_table", "run_command", "table"]
