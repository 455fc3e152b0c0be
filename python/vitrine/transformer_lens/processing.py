# SPDX-License-Identifier: MIT
"""Changes of the weights that leave what the model computes as it was, in float64.

The layernorms are folded into the matrices after them, what is written to the residual stream and the
logits are centred, and biases of values become biases of the output.
"""

from __future__ import annotations

import numpy as np

from vitrine.transformer_lens.weights import Array, State


def process(
    state: State,
    layers: int,
    *,
    fold_ln: bool,
    center_writing_weights: bool,
    center_unembed: bool,
    fold_value_biases: bool,
    refactor_factored_attn_matrices: bool,
) -> State:
    """New weights in float32. After `fold_ln` they have no layernorms' weights."""
    new = {name: values.astype(np.float64) for name, values in state.items()}
    if fold_ln:
        fold_layer_norms(new, layers, center=True)
        for name in [name for name in new if is_layer_norm(name)]:
            del new[name]
    if center_writing_weights:
        for name in _writing(layers):
            new[name] -= new[name].mean(-1, keepdims=True)
    if center_unembed:
        for name in ("unembed.W_U", "unembed.b_U"):
            new[name] -= new[name].mean(-1, keepdims=True)
    for layer in range(layers):
        attention = f"blocks.{layer}.attn"
        if fold_value_biases:
            _fold_value_biases(new, attention)
            if center_writing_weights:
                new[f"{attention}.b_O"] -= new[f"{attention}.b_O"].mean()
        if refactor_factored_attn_matrices:
            _refactor(new, attention)
    return {name: values.astype(np.float32) for name, values in new.items()}


def is_layer_norm(name: str) -> bool:
    """Whether a name is of a layernorm's weight or bias."""
    return name.split(".")[-2] in ("ln1", "ln2", "ln_final")


def fold_layer_norms(state: State, layers: int, *, center: bool) -> None:
    """Folds every layernorm's weight and bias, in place, and makes them 1 and 0. Each sum is in float64.

    `center`: each column that reads the residual stream gets the mean 0, which a centred input does not see.
    """
    for layer in range(layers):
        block = f"blocks.{layer}"
        for part in "QKV":
            _fold(state, f"{block}.ln1", f"{block}.attn.W_{part}", f"{block}.attn.b_{part}", center)
        _fold(state, f"{block}.ln2", f"{block}.mlp.W_in", f"{block}.mlp.b_in", center)
    _fold(state, "ln_final", "unembed.W_U", "unembed.b_U", center)
    for name in state:
        if is_layer_norm(name):
            state[name] = np.full_like(state[name], 1.0 if name.endswith(".w") else 0.0)


def _fold(state: State, norm: str, weight: str, bias: str, center: bool) -> None:
    """`weight` is [..., D, N]: its rows read the output of the layernorm."""
    kept = state[weight].dtype
    matrix = state[weight].astype(np.float64)
    state[bias] = (state[bias] + state[f"{norm}.b"] @ matrix).astype(kept)
    matrix = matrix * state[f"{norm}.w"][:, None]
    state[weight] = (matrix - matrix.mean(-2, keepdims=True) if center else matrix).astype(kept)


def _writing(layers: int) -> list[str]:
    """Weights whose last axis is the residual stream that they write to."""
    names = ["embed.W_E", "pos_embed.W_pos"]
    for layer in range(layers):
        names += [f"blocks.{layer}.{part}" for part in ("attn.W_O", "attn.b_O", "mlp.W_out", "mlp.b_out")]
    return names


def _fold_value_biases(state: State, attention: str) -> None:
    # Each row of a pattern sums to 1, so the values' bias reaches the output as a constant.
    bias, weight = state[f"{attention}.b_V"], state[f"{attention}.W_O"]
    state[f"{attention}.b_O"] = state[f"{attention}.b_O"] + np.einsum("hk,hkd->d", bias, weight)
    state[f"{attention}.b_V"] = np.zeros_like(bias)


def _refactor(state: State, attention: str) -> None:
    """Factors of the products W_Q W_K^T and W_V W_O with orthogonal columns."""
    query, key = (
        np.concatenate([state[f"{attention}.W_{part}"], state[f"{attention}.b_{part}"][:, None]], axis=1)
        for part in "QK"
    )
    left, singular, right = _svd(query, key.transpose(0, 2, 1))
    root = np.sqrt(singular)[:, None, :]
    for part, factor in (("Q", left * root), ("K", right.transpose(0, 2, 1) * root)):
        state[f"{attention}.W_{part}"], state[f"{attention}.b_{part}"] = factor[:, :-1], factor[:, -1]
    _fold_value_biases(state, attention)
    left, singular, right = _svd(state[f"{attention}.W_V"], state[f"{attention}.W_O"])
    state[f"{attention}.W_V"], state[f"{attention}.W_O"] = left * singular[:, None, :], right


def _svd(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """The singular value decomposition of a @ b, from those of the factors: [H, n, K], [H, K], [H, K, m]."""
    ua, sa, va = np.linalg.svd(a, full_matrices=False)
    ub, sb, vb = np.linalg.svd(b, full_matrices=False)
    um, sm, vm = np.linalg.svd(sa[..., :, None] * (va @ ub) * sb[..., None, :], full_matrices=False)
    return ua @ um, sm, vm @ vb
