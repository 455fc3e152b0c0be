# SPDX-License-Identifier: MIT
"""The driver of TransformerLens 4: names, captures, interventions, gradients, padding."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import TEXT

pytest.importorskip("torch")

from vitrine import Edit, Error, Target  # noqa: E402
from vitrine.transformer_lens.driver import VitrineDriver  # noqa: E402


@pytest.fixture(scope="module")
def driver(model):
    sizes = model.config
    config = SimpleNamespace(
        n_layers=sizes.layers,
        n_heads=sizes.heads,
        d_model=sizes.width,
        d_vocab=sizes.vocab,
        architecture="GPT2LMHeadModel",
    )
    return VitrineDriver(model, config)


def test_the_protocol(driver, model):
    assert driver.architecture == "GPT2LMHeadModel" and driver.provides_sequence_logits is True
    assert driver.supports("gradients") and not driver.supports("state_dict")
    assert not driver.supported_hook_points & driver.non_fireable_hook_points
    assert "blocks.0.attn.hook_pattern" in driver.supported_hook_points
    assert "blocks.0.hook_resid_pre" not in driver.supported_hook_points  # the bridge has it as an alias
    driver.close()
    with pytest.raises(Error, match="bridge_config.d_model is 1"):
        VitrineDriver(model, SimpleNamespace(n_layers=model.config.layers, n_heads=model.config.heads, d_model=1))


def test_every_hook_point_has_its_sites_values(driver, model, ids):
    names = sorted(driver.supported_hook_points)
    found = driver.forward([ids], capture=names)
    run = model.run(ids, capture="*")
    np.testing.assert_array_equal(found.logits, run.logits[None])
    assert set(found.captured) == set(names)
    for name, site in {
        "embed.hook_out": "hook_embed",
        "blocks.2.hook_in": "blocks.2.hook_resid_pre",
        "blocks.2.ln1.hook_out": "blocks.2.ln1.hook_normalized",
        "blocks.2.attn.o.hook_in": "blocks.2.attn.hook_z",
        "blocks.2.attn.hook_pattern": "blocks.2.attn.hook_pattern",
        "blocks.2.mlp.out.hook_in": "blocks.2.mlp.hook_post",
        "unembed.hook_out": "logits",
    }.items():
        np.testing.assert_array_equal(found.captured[name], run[site][None])
        np.testing.assert_array_equal(
            driver.forward([ids], capture=[name], return_logits=False).captured[name], run[site][None]
        )
    normalized = found.captured["blocks.2.ln2.hook_normalized"]
    np.testing.assert_allclose(normalized.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(normalized.std(-1), 1, atol=1e-3)
    with pytest.raises(Error, match="unknown hook point 'blocks.2.hook_nothing'"):
        driver.forward([ids], capture=["blocks.2.hook_nothing"])


ROW = np.linspace(-1, 1, 256, dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "spec", "edit"),
    [
        ("blocks.1.attn.hook_out", {"op": "suppress"}, lambda: Edit.zero("blocks.1.hook_attn_out")),
        ("blocks.1.hook_resid_mid", {"op": "scale", "factor": 0.5, "pos": 2}, lambda: Edit.scale("blocks.1.hook_resid_mid", 0.5, positions=2)),
        ("blocks.3.hook_out", {"op": "add", "value": ROW, "pos": [0, 4]}, lambda: Edit.add("blocks.3.hook_resid_post", ROW, positions=[0, 4])),
        ("blocks.3.mlp.out.hook_in", {"op": "set", "value": 0.25}, lambda: Edit.replace("blocks.3.mlp.hook_post", [0.25])),
        ("blocks.0.attn.hook_pattern", {"op": "scale", "factor": 0.0, "pos": 3}, lambda: Edit.zero("blocks.0.attn.hook_pattern", positions=3)),
        ("blocks.2.hook_in", lambda values: values * 2, lambda: Edit.scale("blocks.2.hook_resid_pre", 2.0)),
    ],
)  # fmt: skip
def test_interventions_are_edits(driver, model, ids, name, spec, edit):
    found = driver.forward(np.array([ids, ids[::-1]]), intervene={name: spec})
    expected = model.run([ids, ids[::-1]], edits=edit())
    for i in range(2):
        np.testing.assert_array_equal(found.logits[i], expected[i].logits)


@pytest.mark.parametrize(
    ("name", "spec", "message"),
    [
        ("blocks.1.hook_out", {"op": "double"}, "expected 'op' to be one of suppress, scale, add, set"),
        ("blocks.1.hook_out", {"op": "add", "position": 3}, "missing value, unknown position"),
        ("blocks.1.hook_out", {"op": "suppress", "pos": 9}, "pos 9, where a sequence has no token"),
        ("blocks.1.ln2.hook_in", {"op": "suppress"}, r"captured only.*blocks.1.hook_resid_mid \(the stream\)"),
        ("ln_final.hook_normalized", {"op": "suppress"}, "captured only.*ln_final.hook_out"),
    ],
)
def test_interventions_that_do_not_fit_are_refused(driver, ids, name, spec, message):
    with pytest.raises(Error, match=message):
        driver.forward([ids], intervene={name: spec})


def test_padding_is_not_read(driver, model, ids):
    tokens, mask = [[0, 0, *ids], [*ids[:3], *([7] * (len(ids) - 1))]], np.zeros((2, len(ids) + 2))
    mask[0, 2:], mask[1, :3] = 1, 1
    name = "blocks.1.attn.hook_pattern"
    spec = {"blocks.2.hook_out": {"op": "add", "value": ROW, "pos": 2}}
    found = driver.forward(tokens, capture=[name], intervene=spec, attention_mask=mask)
    for i, (prompt, where, position) in enumerate(((ids, slice(2, None), 0), (ids[:3], slice(0, 3), 2))):
        edit = Edit.add("blocks.2.hook_resid_post", ROW, positions=position)
        expected = model.run(prompt, capture=name, edits=edit)
        np.testing.assert_array_equal(found.logits[i, where], expected.logits)
        np.testing.assert_array_equal(found.captured[name][i, :, where, where], expected[name])
    assert np.isneginf(found.logits[0, :2]).all() and not found.captured[name][1, :, 3:].any()
    with pytest.raises(Error, match="gap"):
        driver.forward(tokens, attention_mask=[[1, 0] + [1] * len(ids)] * 2)


def test_gradients_are_the_engines(driver, model, ids):
    names = ["blocks.2.hook_out", "blocks.1.attn.hook_pattern"]
    target = Target.logit(5)
    found = driver.gradients([ids], target, names)
    expected = model.gradients(ids, target, wrt=["blocks.2.hook_resid_post", names[1]])
    np.testing.assert_array_equal(found[names[0]], expected["blocks.2.hook_resid_post"][None])
    np.testing.assert_array_equal(found[names[1]], expected[names[1]][None])


def test_arguments_without_effect_are_refused(driver, ids):
    with pytest.raises(Error, match="max_new_tokens is 4") as refused:
        driver.forward([ids], max_new_tokens=4)
    assert isinstance(refused.value, NotImplementedError)  # as the protocol says
    with pytest.raises(Error, match="use_cache"):
        driver.forward([ids], use_cache=True)
    with pytest.raises(Error, match="missing input_ids"):
        driver.forward()
