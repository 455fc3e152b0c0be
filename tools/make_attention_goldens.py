#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes tests/analysis/goldens/induction/ and tests/analysis/goldens/attention_*.json.

`induction` is a checkpoint written by hand, without training: a three-layer GPT-2 without MLPs that copies. Its residual stream
has a one-hot vector for the token, the position, the token before, and the answer. Head 0.0 attends to the previous token and
writes it down; head 1.0 attends to where the token before is the current one, and writes the token there as the answer:
induction. The others write nothing: head 0.1 attends to its own position, 2.0 to tokens like its own, 1.1 and 2.1 to everything
alike.

attention_NAME.json has rollout (NumPy) and flow (networkx, Edmonds-Karp) of attention maps that transformers computed in double
precision. Needs numpy, torch, transformers, networkx, safetensors:

    python3 tools/make_attention_goldens.py
"""

import json
import math
import pathlib

import networkx as nx
import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import GPT2Config, GPT2LMHeadModel

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "analysis" / "goldens"
VOCAB, CONTEXT = 10, 12
TOKEN, POSITION, BEFORE, ANSWER = 0, VOCAB, VOCAB + CONTEXT, 2 * VOCAB + CONTEXT
WIDTH, HEADS = 3 * VOCAB + CONTEXT, 2
HEAD = WIDTH // HEADS
SHARP = 25.0  # a score against 0 for all others


def set_layernorm(layernorm, ones):
    """So that it gives back a vector of this many ones and else zeros."""
    mean = ones / WIDTH
    layernorm.weight.fill_(math.sqrt(mean * (1 - mean) + layernorm.eps))
    layernorm.bias.fill_(mean)


def set_head(block, head, query, key, value=None, out=None):
    """Pairs (from, to): the query (key) has at `to` what the stream has at `from`; values are moved from one place to another."""
    w = block.attn.c_attn.weight
    for source, to in query:
        w[source, head * HEAD + to] = SHARP * math.sqrt(HEAD)
    for source, to in key:
        w[source, WIDTH + head * HEAD + to] = 1
    for i in range(VOCAB if value is not None else 0):
        w[value + i, 2 * WIDTH + head * HEAD + i] = 1
        block.attn.c_proj.weight[head * HEAD + i, out + i] = 1


def induction_model():
    config = GPT2Config(vocab_size=VOCAB, n_positions=CONTEXT, n_embd=WIDTH, n_layer=3, n_head=HEADS, n_inner=1, tie_word_embeddings=False,
                        bos_token_id=None, eos_token_id=None)
    model = GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        body = model.transformer
        for i in range(VOCAB):
            body.wte.weight[i, TOKEN + i] = 1
            model.lm_head.weight[i, ANSWER + i] = 4
        for i in range(CONTEXT):
            body.wpe.weight[i, POSITION + i] = 1
        first, second, third = body.h
        set_layernorm(first.ln_1, 2)
        set_layernorm(second.ln_1, 3)
        set_layernorm(third.ln_1, 4)
        body.ln_f.weight.fill_(1)
        tokens, positions = range(VOCAB), range(CONTEXT)
        set_head(first, 0, [(POSITION + i, max(i - 1, 0)) for i in positions], [(POSITION + i, i) for i in positions], TOKEN, BEFORE)
        set_head(first, 1, [(POSITION + i, i) for i in positions], [(POSITION + i, i) for i in positions])
        set_head(second, 0, [(TOKEN + i, i) for i in tokens], [(BEFORE + i, i) for i in tokens], TOKEN, ANSWER)
        set_head(third, 0, [(TOKEN + i, i) for i in tokens], [(TOKEN + i, i) for i in tokens])
    return model


def residual_map(pattern):
    a = pattern.mean(0) + np.eye(pattern.shape[-1])
    return a / a.sum(-1, keepdims=True)


def rollout(maps):
    found = [maps[0]]
    for a in maps[1:]:
        found.append(a @ found[-1])
    return found


def flow(maps, top):
    """Rows of maximum flows from (layer `top`, i) to (input, j), by the definition: the whole network, every pair."""
    tokens = maps[0].shape[0]
    graph = nx.DiGraph()
    for layer in range(top + 1):
        for i in range(tokens):
            for j in range(tokens):
                if maps[layer][i, j] > 0:
                    graph.add_edge((layer + 1, i), (layer, j), capacity=float(maps[layer][i, j]))
    values = np.zeros((tokens, tokens))
    for i in range(tokens):
        for j in range(tokens):
            if graph.has_node((0, j)):
                values[i, j] = nx.maximum_flow_value(graph, (top + 1, i), (0, j), flow_func=nx.algorithms.flow.edmonds_karp)
    return values / values.sum(-1, keepdims=True)


def relevance(ids, patterns):
    maps = [residual_map(p.astype(np.float64)) for p in patterns]
    return {"ids": ids, "rollout": [r.tolist() for r in rollout(maps)], "flow": {str(top): flow(maps, top).tolist() for top in range(len(maps))}}


def main():
    model = induction_model()
    ids = [0, 3, 7, 1, 9, 4, 3, 7, 1, 9]
    with torch.no_grad():
        model.set_attn_implementation("eager")
        out = model(torch.tensor([ids]), output_attentions=True)
    assert int(out.logits[0, -1].argmax()) == 4, "it copies"
    patterns = [a[0].numpy() for a in out.attentions]
    assert patterns[1][0][-1, 5] > 0.999 and patterns[0][0][4, 3] > 0.999
    model.float().save_pretrained(OUT / "induction")
    golden = relevance(ids, patterns)
    (OUT / "attention_induction.json").write_text(json.dumps([golden]) + "\n")
    print("rollout", np.round(golden["rollout"][1][-1], 4), "flow", np.round(golden["flow"]["1"][-1], 4))

    for case in ["plain", "everything"]:
        folder = ROOT / "tests" / "goldens" / case
        expected = load_file(folder / "expected.safetensors")
        layers = json.loads((folder / "config.json").read_text())["n_layer"]
        goldens = []
        for i, sequence in enumerate(json.loads((folder / "expected.json").read_text())["sequences"]):
            if len(sequence["ids"]) <= 10:
                goldens.append(relevance(sequence["ids"], [expected[f"seq{i}/blocks.{n}.attn.hook_pattern"] for n in range(layers)]))
        (OUT / f"attention_{case}.json").write_text(json.dumps(goldens) + "\n")


if __name__ == "__main__":
    main()
