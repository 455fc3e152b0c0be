# SPDX-License-Identifier: MIT
"""Calls of a HookedTransformer, for TransformerLens's and ours: tools/make_transformer_lens_goldens.py and the test."""

import numpy as np
import torch

LAYERS, HEADS, WIDTH, HEAD, INNER, VOCAB, CONTEXT = 2, 2, 8, 4, 16, 20, 10
IDS = [[3, 1, 4, 1, 7], [5, 9, 2, 6, 5]]
MASK = [[0, 0, 1, 1, 1], [1, 1, 1, 1, 0]]
PROCESSED = {
    "fold_ln": True,
    "center_writing_weights": True,
    "center_unembed": True,
    "fold_value_biases": True,
    "refactor_factored_attn_matrices": False,
}
RAW = dict.fromkeys(PROCESSED, False)
KINDS = {"raw": RAW, "processed": PROCESSED}
TEXTS = ["The keys to the cabinet", "ünï <|endoftext|>x"]


def config():
    """Fields of TransformerLens's configuration."""
    return {
        "n_layers": LAYERS, "n_heads": HEADS, "d_model": WIDTH, "d_head": HEAD, "d_mlp": INNER, "d_vocab": VOCAB,
        "n_ctx": CONTEXT, "act_fn": "gelu_new", "normalization_type": "LN", "eps": 1e-5, "device": "cpu",
        "original_architecture": "GPT2LMHeadModel", "use_attn_result": True,
    }  # fmt: skip


def state():
    """Weights, the same everywhere."""
    shapes = {"embed.W_E": (VOCAB, WIDTH), "pos_embed.W_pos": (CONTEXT, WIDTH)}
    for layer in range(LAYERS):
        block = f"blocks.{layer}"
        for part in "QKV":
            shapes[f"{block}.attn.W_{part}"] = (HEADS, WIDTH, HEAD)
            shapes[f"{block}.attn.b_{part}"] = (HEADS, HEAD)
        shapes |= {f"{block}.attn.W_O": (HEADS, HEAD, WIDTH), f"{block}.attn.b_O": (WIDTH,)}
        shapes |= {f"{block}.mlp.W_in": (WIDTH, INNER), f"{block}.mlp.b_in": (INNER,)}
        shapes |= {f"{block}.mlp.W_out": (INNER, WIDTH), f"{block}.mlp.b_out": (WIDTH,)}
        shapes |= {f"{block}.{norm}.{part}": (WIDTH,) for norm in ("ln1", "ln2") for part in "wb"}
    shapes |= {"ln_final.w": (WIDTH,), "ln_final.b": (WIDTH,)}
    shapes |= {"unembed.W_U": (WIDTH, VOCAB), "unembed.b_U": (VOCAB,)}
    draw = np.random.RandomState(0)  # whose numbers never change
    return {
        name: torch.from_numpy((draw.uniform(-0.7, 0.7, shape) + name.endswith(".w")).astype(np.float32))
        for name, shape in shapes.items()
    }


def halved(values, hook):
    hook.ctx["shape"] = tuple(values.shape)
    return values * 0.5


def without_head(values, hook):
    assert hook.layer() == 1
    values[:, :, 1] = 0  # in place, and no result


def sharper(pattern, hook):
    return pattern.square() / pattern.square().sum(-1, keepdim=True)


def forward(model, ids):
    found = {"logits": model(ids), "loss_per_token": model(ids, return_type="loss", loss_per_token=True)}
    found["loss"] = model(ids, return_type="both").loss
    residual = found["stopped"] = model(ids, stop_at_layer=-1)
    found["resumed"] = model(residual.detach(), start_at_layer=1)
    found["masked"] = model(ids, attention_mask=torch.tensor(MASK))
    _, cache = model.run_with_cache(ids, return_cache_object=False)
    found |= {f"cache {name}": values for name, values in cache.items()}
    names = ["blocks.0.attn.hook_pattern", "blocks.1.attn.hook_q", "ln_final.hook_scale"]
    _, cache = model.run_with_cache(ids, names_filter=names, pos_slice=[1, -1], return_cache_object=False)
    return found | {f"slice {name}": values for name, values in cache.items()}


def hooks(model, ids):
    found = {}
    for label, fwd in {
        "in place": [("blocks.1.attn.hook_z", without_head)],
        "pattern": [("blocks.0.attn.hook_pattern", sharper)],
        "by function": [(lambda name: name.endswith("hook_resid_mid"), halved)],
        "two at one place": [("blocks.0.hook_mlp_out", halved), ("blocks.0.hook_mlp_out", lambda x, hook: x + 1)],
        "scale": [("blocks.1.ln2.hook_scale", halved), ("blocks.0.attn.hook_result", halved)],
        "ends": [("hook_embed", halved), ("unembed.hook_in", halved), ("unembed.hook_out", halved)],
        "masked": [("blocks.0.attn.hook_v", halved)],
    }.items():
        mask = {"attention_mask": torch.tensor(MASK)} if label == "masked" else {}
        found[f"hooks {label}"] = model.run_with_hooks(ids, fwd_hooks=fwd, **mask)
    return found


def gradients(model, ids):
    names = [name for name in model.hook_dict if name.endswith(("_resid_pre", "hook_q", "hook_z", "hook_scale"))]
    # TransformerLens runs ln1 once each for queries, keys and values, and keeps the last one's gradient.
    names = [name for name in names if "ln1" not in name] + ["hook_embed", "blocks.1.mlp.hook_pre", "unembed.hook_in"]
    _, cache = model.run_with_cache(
        ids, names_filter=names, incl_bwd=True, return_type="loss", return_cache_object=False
    )
    found = {name: values for name, values in cache.items() if name.endswith("_grad")}
    found |= changed_gradients(model, ids)
    vector = torch.linspace(-1, 1, WIDTH).requires_grad_()
    kept = []
    logits = model.run_with_hooks(
        ids,
        fwd_hooks=[
            ("blocks.0.hook_resid_post", lambda x, hook: x + vector),
            ("blocks.1.attn.hook_k", lambda x, hook: kept.append(x)),
        ],
    )
    found["leaf grad"], found["kept grad"] = torch.autograd.grad(
        logits[:, -1, 3].sum() + kept[0].pow(2).sum(), [vector, kept[0]]
    )
    return found


def changed_gradients(model, ids):
    found = {}

    def keep(gradient, hook):
        found[f"changed {hook.name}"] = gradient.detach().clone()

    bwd = [("blocks.1.hook_resid_pre", halved), ("blocks.1.attn.hook_v", halved), ("hook_embed", keep)]
    for fwd in ([], [("blocks.0.hook_mlp_out", lambda x, hook: x.tanh())]):
        with model.hooks(fwd, bwd):
            model(ids, return_type="loss").backward()
    return found


def weights(model):
    names = "W_E W_pos W_U b_U W_Q W_K W_V W_O b_Q b_K b_V b_O W_in b_in W_out b_out".split()
    found = {name: getattr(model, name) for name in names}
    found |= {f"composition {mode}": model.all_composition_scores(mode) for mode in "QKV"}
    found["accumulated bias"] = model.accumulated_bias(1, mlp_input=True, include_mlp_biases=False)
    found["directions"] = model.tokens_to_residual_directions(torch.tensor([[3, 1], [2, 0]]))
    return found | {"QK": model.QK.AB, "OV": model.OV[1].AB}


def continued(model, cache_class, ids, use_past_kv_cache):
    """`cache_class`: of keys and values. Without a tokenizer TransformerLens's generate is right without a cache only."""
    options = {"do_sample": False, "verbose": False, "stop_at_eos": False, "use_past_kv_cache": use_past_kv_cache}
    found = {"generated": model.generate(ids, max_new_tokens=4, **options)}
    with model.hooks([("blocks.0.hook_mlp_out", lambda values, hook: values.flip(-1))]):
        found["generated under a hook"] = model.generate(ids, max_new_tokens=4, **options)
    cache = cache_class.init_cache(model.cfg, "cpu", len(ids))
    mask = torch.ones_like(ids)
    model(ids, past_kv_cache=cache, attention_mask=mask)
    found["second pass"] = model(ids[:, :2], past_kv_cache=cache, attention_mask=mask[:, :2])
    return found | {"past keys": cache[1].past_keys}


def all_cases(model, cache_class, use_past_kv_cache):
    ids = torch.tensor(IDS)
    found = forward(model, ids) | hooks(model, ids) | gradients(model, ids) | weights(model)
    return found | continued(model, cache_class, ids, use_past_kv_cache)


def tokens(model):
    """Of a model with the demo's tokenizer."""
    found = {}
    for side in ("left", "right"):
        for prepend in (True, False):
            found[f"tokens {side} {prepend}"] = model.to_tokens(TEXTS, prepend_bos=prepend, padding_side=side)
    found["tokens default"] = model.to_tokens(TEXTS[0])
    found["position"] = torch.tensor(model.get_token_position(" the", TEXTS[0]))
    return found
