# SPDX-License-Identifier: MIT
"""The drop-in's hook points before the layernorms, against what NumPy makes of the residual stream there."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import transformer_lens_cases as cases  # noqa: E402

from vitrine import Error  # noqa: E402
from vitrine.transformer_lens import HookedTransformer  # noqa: E402

IDS = torch.tensor(cases.IDS)
STREAM = "blocks.1.hook_resid_pre"


@pytest.fixture(params=cases.KINDS)
def model(request):
    model = HookedTransformer(cases.config())
    model.load_and_process_state_dict(cases.state(), **cases.KINDS[request.param])
    model.set_use_split_qkv_input(True)
    model.set_use_hook_mlp_in(True)
    return model


def layernorm(model, norm, x):
    """[..., D] before the weight, and after it."""
    x = x.astype(np.float64)
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + model.cfg.eps)
    weights = model.state_dict()
    if f"{norm}.w" not in weights:
        return x, x
    return x, x * weights[f"{norm}.w"].numpy() + weights[f"{norm}.b"].numpy()


def replaced(values):
    return lambda _old, hook: torch.from_numpy(values.astype(np.float32))


def near(found, expected):
    assert torch.allclose(found, expected, rtol=0, atol=1e-5 * float(expected.detach().abs().max()))


def test_copies_are_the_residual_stream_once_for_each_head(model):
    _, cache = model.run_with_cache(IDS, return_cache_object=False)
    assert "blocks.0.hook_attn_in" not in cache
    for part in "qkv":
        copies = cache[f"blocks.1.hook_{part}_input"]
        assert copies.shape == (2, 5, cases.HEADS, cases.WIDTH)
        assert all(torch.equal(copies[:, :, head], cache[STREAM]) for head in range(cases.HEADS))
    assert torch.equal(cache["blocks.1.hook_mlp_in"], cache["blocks.1.hook_resid_mid"])
    assert cache["blocks.1.ln1.hook_scale"].shape == (2, 5, cases.HEADS, 1)
    _, last = model.run_with_cache(IDS, names_filter="blocks.1.hook_q_input", pos_slice=-1)
    assert torch.equal(last["blocks.1.hook_q_input"], cache["blocks.1.hook_q_input"][:, -1:])


@pytest.mark.parametrize("part", "qkv")
def test_a_head_that_reads_something_else(model, part):
    _, cache = model.run_with_cache(IDS, names_filter=lambda name: name in (STREAM, f"blocks.1.attn.hook_{part}"))
    values = cache[f"blocks.1.attn.hook_{part}"].clone().numpy()
    _, normalized = layernorm(model, "blocks.1.ln1", cache[STREAM].numpy() ** 2)
    weight, bias = (getattr(model, f"{kind}_{part.upper()}")[1, 1].numpy() for kind in "Wb")
    values[:, :, 1] = normalized @ weight + bias
    expected = model.run_with_hooks(IDS, fwd_hooks=[(f"blocks.1.attn.hook_{part}", replaced(values))])

    def square(copies, hook):
        copies[:, :, 1] **= 2

    with torch.no_grad():
        name = f"blocks.1.hook_{part}_input"
        near(model.run_with_hooks(IDS, fwd_hooks=[(name, square)]), expected)
        with model.hooks([(name, square)]):
            out, cache = model.run_with_cache(IDS, return_cache_object=False)
    near(out, expected)
    near(cache[f"blocks.1.attn.hook_{part}"], torch.from_numpy(values))
    assert torch.equal(cache[name][:, :, 0], cache[STREAM])  # the stream itself is as it was


def test_an_mlp_that_reads_something_else(model):
    _, cache = model.run_with_cache(IDS, names_filter="blocks.0.hook_resid_mid")
    before, _ = layernorm(model, "blocks.0.ln2", np.tanh(cache["blocks.0.hook_resid_mid"].numpy()))
    expected = model.run_with_hooks(IDS, fwd_hooks=[("blocks.0.ln2.hook_normalized", replaced(before))])
    near(model.run_with_hooks(IDS, fwd_hooks=[("blocks.0.hook_mlp_in", lambda x, hook: x.tanh())]), expected)


def test_all_parts_of_attention_read_attn_in_if_inputs_are_not_split(model):
    model.set_use_attn_in(True)
    hooks = [("blocks.1.hook_attn_in", lambda x, hook: x * x)]
    assert torch.equal(model.run_with_hooks(IDS, fwd_hooks=hooks), model(IDS))
    parts = [(f"blocks.1.hook_{part}_input", hooks[0][1]) for part in "qkv"]
    expected = model.run_with_hooks(IDS, fwd_hooks=parts)
    model.set_use_split_qkv_input(False)
    near(model.run_with_hooks(IDS, fwd_hooks=hooks), expected)


def test_gradients_at_copies_are_slopes(model):
    names = ["blocks.0.hook_v_input", "blocks.1.hook_q_input", "blocks.1.hook_k_input", "blocks.0.hook_mlp_in"]

    def loss(vectors):
        hooks = [(name, lambda x, hook, vector=vector: x + vector) for name, vector in zip(names, vectors)]
        return model.run_with_hooks(IDS, fwd_hooks=hooks, return_type="loss")

    vectors = torch.linspace(-0.5, 0.5, 4 * cases.WIDTH).reshape(4, -1).requires_grad_()
    loss(vectors).backward()
    for row, gradient in enumerate(vectors.grad):
        step = torch.zeros_like(vectors)
        step[row] = 0.02 * gradient / gradient.norm()
        with torch.no_grad():
            slope = (loss(vectors + step) - loss(vectors - step)) / 0.04
        assert abs(float(slope / gradient.norm()) - 1) < 0.02


def test_what_a_switch_lacks_is_refused(model):
    with pytest.raises(AssertionError, match="blocks.0.hook_attn_in if use_attn_in is False"):
        model.run_with_hooks(IDS, fwd_hooks=[("blocks.0.hook_attn_in", print)])
    with pytest.raises(Error, match="a function at blocks.0.ln1.hook_scale is not supported with use_attn_in"):
        model.run_with_hooks(IDS, fwd_hooks=[("blocks.0.ln1.hook_scale", lambda x, hook: x)])
