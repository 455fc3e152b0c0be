# SPDX-License-Identifier: MIT
import numpy as np
import pytest
from conftest import TEXT

import vitrine
from vitrine import Edit, Error, Target

SITE = "blocks.2.hook_resid_post"


def directional_difference(model, value, gradient):
    """Central difference along the gradient, by passes with edits."""
    direction = gradient / np.linalg.norm(gradient)
    step = 0.05

    def at(factor):
        positions = list(range(len(direction)))
        edit = Edit.add(SITE, (factor * direction).astype(np.float32), positions=positions)
        return value(model.run(TEXT, edits=edit).logits)

    return (at(step) - at(-step)) / (2 * step), np.linalg.norm(gradient)


def test_a_gradient_is_the_slope_of_its_target(model):
    token, other = (model.tokenizer.single_token(t) for t in (" are", " is"))
    target = Target.logit(" are") - 0.5 * Target.logit([other, token], position=-2)
    found = model.gradients(TEXT, target, wrt=SITE)

    def value(logits):
        logits = logits.astype(np.float64)
        return logits[-1, token] - 0.25 * (logits[-2, token] + logits[-2, other])

    assert found.value == pytest.approx(value(model.run(TEXT).logits), rel=1e-5)
    slope, length = directional_difference(model, value, found[SITE])
    assert slope == pytest.approx(length, rel=2e-3)


def test_the_tensors_of_a_batch_are_those_of_each_sequence(model):
    texts = [TEXT, "The key to the cabinet"]
    targets = [Target.log_prob(" are"), Target.log_prob(" is")]
    both = model.gradients(texts, targets, wrt=SITE, capture=SITE)
    for text, target, found in zip(texts, targets, both):
        alone = model.gradients(text, target, wrt=SITE, capture=SITE)
        assert np.array_equal(found[SITE], alone[SITE])
        assert np.array_equal(found.run[SITE], alone.run[SITE])
        assert found.value == alone.value


def test_gradients_of_a_pass_from_a_block_are_those_of_the_whole_pass(model, ids):
    batch, stream, sites = [ids, ids[:3]], "blocks.2.hook_resid_pre", ["blocks.2.*", "blocks.3.attn.hook_q"]
    rows = [run[stream] for run in model.run(batch, capture=stream)]
    early = vitrine.Target.norm("blocks.2.attn.hook_z", 1)
    for target, wrt in ((vitrine.Target.logit(" are"), sites), (early, [stream, "blocks.2.attn.hook_pattern"])):
        whole = model.gradients(batch, target, wrt=wrt)
        found = model.gradients_from(2, rows, target, wrt=wrt)
        for one, expected in zip(found, whole):
            assert one.value == expected.value
            assert all(np.array_equal(one[name], expected[name]) for name in expected.gradients)
    with pytest.raises(vitrine.Error, match="does not reach 'blocks.1.hook_resid_pre'"):
        model.gradients_from(2, rows, vitrine.Target.logit(" are"), wrt="blocks.1.hook_resid_pre")
    with pytest.raises(vitrine.Error, match="does not reach 'blocks.0.hook_mlp_out'"):
        model.gradients_from(2, rows, vitrine.Target.norm("blocks.0.hook_mlp_out"), wrt=stream)


def test_a_function_edit_needs_its_adjoint(model):
    double = dict(function=lambda values, place: values * 2)
    with pytest.raises(Error, match="adjoint|derivative|gradient"):
        model.gradients(TEXT, Target.entropy(), wrt="blocks.0.hook_resid_pre", edits=Edit.function(SITE, **double))
    by_function = model.gradients(
        TEXT,
        Target.entropy(),
        wrt="blocks.0.hook_resid_pre",
        edits=Edit.function(SITE, **double, adjoint=lambda values, place: values * 2),
    )
    native = model.gradients(TEXT, Target.entropy(), wrt="blocks.0.hook_resid_pre", edits=Edit.scale(SITE, 2.0))
    assert np.array_equal(by_function["blocks.0.hook_resid_pre"], native["blocks.0.hook_resid_pre"])


def test_refusals(model):
    with pytest.raises(Error, match="London"):
        model.gradients(TEXT, Target.logit(" are London"), wrt=SITE)
    with pytest.raises(TypeError):
        model.gradients(TEXT, " are", wrt=SITE)
    with pytest.raises(Error):
        model.gradients(TEXT, Target.logit([]), wrt=SITE)
    with pytest.raises(Error):
        model.gradients(TEXT, Target.logit(5, position=17), wrt=SITE)
