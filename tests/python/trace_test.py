# SPDX-License-Identifier: MIT
"""A trace is the pass with the captures and edits that its block names."""

import numpy as np
import pytest
from conftest import TEXT

import vitrine
from vitrine import Edit, Error

OTHER = "The key to the cabinet"


def test_values_are_those_of_a_run(model):
    names = [
        "hook_embed",
        "blocks.3.hook_resid_pre",
        "blocks.3.hook_resid_post",
        "blocks.1.hook_attn_out",
        "blocks.2.mlp.hook_post",
        "blocks.0.ln2.hook_normalized",
        "ln_final.hook_normalized",
        "blocks.4.attn.hook_z",
        "logits",
    ]
    with vitrine.trace(model, TEXT) as t:
        saved = [
            t.wte.output.save(),
            t.transformer.h[3].input.save(),
            t.h[-3].output.save(),
            t.h[1].attn.output.save(),
            t.h[2].mlp.act.output.save(),
            t.h[0].mlp.input.save(),
            t.ln_f.output.save(),
            t["blocks.4.attn.hook_z"].save(),
            t.lm_head.output.save(),
        ]
        part = t.h[3].output[0, -1].save()
    run = model.run(TEXT, capture=names)
    for name, value in zip(names, saved):
        assert np.array_equal(value.value[0], run[name]), name
        assert value.shape == (1, *run[name].shape)
    assert np.array_equal(np.asarray(part), run["blocks.3.hook_resid_post"][-1])
    assert t.ids == model.encode(TEXT)


@pytest.mark.parametrize(
    "block, edits",
    [
        (
            lambda t, v: setattr(t.h[2].mlp, "output", 0),
            lambda v: Edit.zero("blocks.2.hook_mlp_out"),
        ),
        (
            lambda t, v: t.h[2].mlp.output.__setitem__((slice(None), -1), 0),
            lambda v: Edit.zero("blocks.2.hook_mlp_out", positions=-1),
        ),
        (
            lambda t, v: setattr(t.h[3], "output", t.h[3].output * 0.5 + v),
            lambda v: [
                Edit.scale("blocks.3.hook_resid_post", 0.5),
                Edit.add("blocks.3.hook_resid_post", v),
            ],
        ),
        (
            lambda t, v: setattr(t.h[3], "output", v - t.h[3].output),
            lambda v: [
                Edit.scale("blocks.3.hook_resid_post", -1),
                Edit.add("blocks.3.hook_resid_post", v),
            ],
        ),
        (
            lambda t, v: t.h[3].output.__setitem__((0, [1, 3]), v),
            lambda v: Edit.replace("blocks.3.hook_resid_post", v, positions=[1, 3]),
        ),
        (
            lambda t, v: t["blocks.1.attn.hook_z"].__setitem__((0, slice(1, 3), 2), v[:64]),
            lambda v: Edit.replace("blocks.1.attn.hook_z", v[:64], positions=range(1, 3), heads=2),
        ),
        (
            lambda t, v: t["blocks.1.attn.hook_pattern"].__setitem__((0, 1, -1), 0),
            lambda v: Edit.zero("blocks.1.attn.hook_pattern", heads=1, positions=-1),
        ),
        (
            lambda t, v: t.h[1].mlp.act.output.__setitem__((0, slice(None), [5, 9]), 2.0),
            lambda v: Edit.replace("blocks.1.mlp.hook_post", np.full(2, 2.0), neurons=[5, 9]),
        ),
        (
            lambda t, v: t.apply(Edit.project_out("blocks.3.hook_resid_post", v)),
            lambda v: Edit.project_out("blocks.3.hook_resid_post", v),
        ),
    ],
)
def test_assignments_are_edits(model, block, edits):
    direction = np.random.default_rng(0).normal(size=model.config.width).astype(np.float32)
    with vitrine.trace(model, TEXT) as t:
        block(t, direction)
        logits = t.lm_head.output.save()
    expected = model.run(TEXT, edits=edits(direction)).logits
    assert np.array_equal(logits[0], expected)
    assert not np.array_equal(expected, model.run(TEXT).logits)


def test_operators_in_place(model):
    direction = np.ones(model.config.width, np.float32)
    with vitrine.trace(model, TEXT) as t:
        t.h[2].output[:, -1] += direction
        t.h[3].mlp.output *= 2
        t.h[4].mlp.output -= direction
        logits = t.lm_head.output.save()
    edits = [
        Edit.add("blocks.2.hook_resid_post", direction, positions=-1),
        Edit.scale("blocks.3.hook_mlp_out", 2),
        Edit.add("blocks.4.hook_mlp_out", -direction),
    ]
    assert np.array_equal(logits[0], model.run(TEXT, edits=edits).logits)


def test_an_invoke_knows_the_values_of_the_earlier_ones(model):
    with vitrine.trace(model) as t:
        with t.invoke(TEXT):
            clean = t.h[2].output.save()
        with t.invoke(OTHER):
            t.h[2].output[:, 1] = clean[:, 1]
            logits = t.lm_head.output.save()
    source = model.run(TEXT, capture="blocks.2.hook_resid_post")
    edit = Edit.replace_from("blocks.2.hook_resid_post", source.captures, positions=1)
    assert np.array_equal(logits[0], model.run(OTHER, edits=edit).logits)


def test_a_generation(model):
    direction = np.full(model.config.width, 0.1, np.float32)
    with vitrine.trace(model, TEXT, max_new_tokens=3) as t:
        t.h[2].output += direction
        t.h[1].mlp.output[:, -1] = 0
        hidden = t.h[3].output.save()
    edits = [
        Edit.add("blocks.2.hook_resid_post", direction),
        Edit.zero("blocks.1.hook_mlp_out", positions=-1),
    ]
    expected = model.generate(TEXT, 3, capture="blocks.3.hook_resid_post", edits=edits)
    assert t.ids == model.encode(TEXT) + expected.ids
    assert np.array_equal(hidden.value[0], expected["blocks.3.hook_resid_post"])


def test_what_is_not_saved_is_not_computed(model):
    with vitrine.trace(model, TEXT) as t:
        t.h[1].output.save()
    assert t.ids


def test_a_failing_block_runs_nothing(model):
    calls = []

    def note(values, place):
        calls.append(place.name)

    with pytest.raises(ZeroDivisionError):
        with vitrine.trace(model, TEXT) as t:
            t.apply(Edit.function("blocks.0.hook_resid_pre", note))
            raise ZeroDivisionError
    assert not calls


def test_a_value_is_not_known_in_the_block(model):
    with vitrine.trace(model, TEXT) as t:
        hidden = t.h[0].output.save()
        with pytest.raises(Error, match="not known yet"):
            hidden.value.sum()


@pytest.mark.parametrize(
    "block, words",
    [
        (lambda t: t.h[6], r"h\[5\]"),
        (lambda t: t.h.output, "h.output"),
        (lambda t: t.h[0].crossattn, "crossattn"),
        (lambda t: t.h[0].output.grad, "Model.gradients"),
        (lambda t: t.iter, "all its steps"),
        (lambda t: t.cache(), "capture='\\*'"),
        (lambda t: t.wte.input, "wte.input"),
        (lambda t: t["blocks.9.hook_resid_pre"], "blocks.9"),
        (lambda t: t.h[0].output[0][-1], "indexed once"),
        (lambda t: t.h[0].output.__setitem__((1,), 0), "first 0"),
        (lambda t: setattr(t.h[0], "output", t.h[1].output), "not known in the block"),
        (lambda t: setattr(t.h[0], "output", np.zeros((2, 7))), "shape"),
        (lambda t: t.h[0].output * np.ones(256), "Edit.function"),
        (lambda t: setattr(t.h[0].ln_1, "input", 0), "read by others"),
        (lambda t: setattr(t.h[0], "weight", 0), "weight"),
        (lambda t: (t.h[0].output.save(), setattr(t.h[0], "output", 0)), "before it is changed"),
        (lambda t: setattr(t, "h", 1) or t.invoke("a"), "has a prompt"),
        (lambda t: t["blocks.1.attn.hook_pattern"].__setitem__((0, 1), 0.5), "set to 0"),
    ],
)
def test_refusals(model, block, words):
    with pytest.raises(Error, match=words):
        with vitrine.trace(model, TEXT) as t:
            block(t)


def test_options_belong_to_a_generation(model):
    with pytest.raises(Error, match="max_new_tokens"):
        vitrine.trace(model, TEXT, top_k=3)
    with pytest.raises(Error, match="position"):
        with vitrine.trace(model, TEXT, max_new_tokens=2) as t:
            t.h[0].output[:, 1] = 0
