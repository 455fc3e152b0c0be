# SPDX-License-Identifier: MIT
"""Against what Captum computed on small checkpoints, and by completeness."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXT

import vitrine
from vitrine.captum import (
    Forward,
    InputXGradient,
    IntegratedGradients,
    LayerGradientXActivation,
    LayerIntegratedGradients,
    LLMGradientAttribution,
    Saliency,
    TextTokenInput,
)

TESTS = Path(__file__).parents[1]
CASES = [
    (name, case)
    for name in ("plain", "untied")
    for case in json.loads((TESTS / f"analysis/goldens/saliency_{name}.json").read_text())
    if case["method"] in ("grad-x-input", "integrated-gradients")
    and case["contrast"] is None
    and case.get("rule") != "trapezoid"
    and case.get("baseline", {}).get("kind") in (None, "zero", "token")
]
METHODS = {"gauss-legendre": "gausslegendre", "left": "riemann_left", "right": "riemann_right"}


@pytest.mark.parametrize("name, case", CASES)
def test_what_captum_computed(name, case):
    """tools/make_saliency_goldens.py: scores summed over the width."""
    small = vitrine.Model.load(TESTS / "goldens" / name)
    forward = Forward(small, case["value"].replace("-", "_"))
    ids = case["prompt"] + case["continuation"]
    for step in case["results"]:
        embeddings = small.embed(ids[: step["inputs"]])[None]
        if case["method"] == "grad-x-input":
            found = InputXGradient(forward).attribute(embeddings, target=step["target"])
        else:
            baseline = 0
            if case["baseline"]["kind"] == "token":
                baseline = np.repeat(small.embed([case["baseline"]["token"]])[None], step["inputs"], 1)
            options = {
                "n_steps": case["steps"],
                "method": METHODS[case["rule"]],
                "internal_batch_size": 4,
            }
            found, delta = IntegratedGradients(forward).attribute(
                embeddings, baseline, step["target"], return_convergence_delta=True, **options
            )
            size = max(np.abs(step["scores"]).max(), abs(step["value"]))
            assert abs(float(delta[0])) == pytest.approx(step["gap"], abs=1e-4 * size)
        expected = np.array(step["scores"])
        assert np.abs(np.asarray(found).sum(-1)[0] - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_layers_values_are_those_of_its_site(model, ids):
    site, token = "blocks.2.hook_resid_post", 7
    gradient = model.gradients(ids, vitrine.Target.logit(token), wrt=site)[site]
    values = model.run(ids, capture=site)[site]
    found = LayerGradientXActivation(model, site).attribute([ids], target=token)
    assert np.allclose(np.asarray(found)[0], values * gradient, rtol=1e-4, atol=1e-6)
    layer = LayerIntegratedGradients(model, site)
    change = model.run(ids).logits[-1, token] - model.run([4] * len(ids)).logits[-1, token]
    found, delta = layer.attribute([ids], baselines=4, target=token, n_steps=100, return_convergence_delta=True)
    assert float(np.asarray(found).sum() - delta[0]) == pytest.approx(change, abs=1e-3)


def test_gradients_are_absolute_or_signed(model, ids):
    embeddings = model.embed(ids)[None]
    signed = np.asarray(Saliency(model).attribute(embeddings, target=(2, 9), abs=False))
    gradient = model.gradients(ids, vitrine.Target.logit(9, position=2), wrt="hook_embed")["hook_embed"]
    assert np.allclose(signed[0], gradient, rtol=1e-5, atol=1e-6)
    assert np.array_equal(Saliency(model).attribute(embeddings, target=(2, 9)), np.abs(signed))


def test_attributions_add_up_to_the_change_of_the_target(model, ids):
    found, delta = IntegratedGradients(model).attribute(
        model.embed(ids)[None], target=5, n_steps=100, return_convergence_delta=True
    )
    change = model.run(TEXT).logits[-1, 5] - model.run(ids, edits=vitrine.Edit.zero("hook_embed")).logits[-1, 5]
    assert float(np.asarray(found).sum()) == pytest.approx(change, rel=1e-3)
    assert float(delta[0]) == pytest.approx(float(np.asarray(found).sum()) - change, abs=1e-4)


def test_an_answer_with_the_models_tokenizer(model):
    method = LLMGradientAttribution(LayerGradientXActivation(model, "hook_embed"), model.tokenizer)
    result = method.attribute(TextTokenInput(TEXT, model.tokenizer), gen_args={"max_new_tokens": 2})
    assert result.output_tokens == [model.tokenizer.token(i) for i in model.generate(TEXT, 2).ids]
    assert list(result.seq_attr_dict) == ["The", " keys", " to", " the", " cabinet"]
    page = str(result.page())
    assert " cabinet</th>" in page and "https" not in page


def test_tensors_where_torch_is(model, ids):
    torch = pytest.importorskip("torch")
    embeddings = torch.tensor(model.embed(ids)[None], requires_grad=True)
    found = InputXGradient(model).attribute(embeddings, target=torch.tensor([5]))
    assert isinstance(found, torch.Tensor) and found.shape == embeddings.shape and not found.requires_grad


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m, e: IntegratedGradients(lambda x: x), "vitrine.torch.forward"),
        (lambda m, e: IntegratedGradients(m).attribute(e), "target"),
        (lambda m, e: IntegratedGradients(m).attribute((e,), target=1), "tuple"),
        (lambda m, e: IntegratedGradients(m).attribute(e[0], target=1), r"\[B, T, 256\]"),
        (lambda m, e: IntegratedGradients(m).attribute([[1, 2]], target=1), "Layer"),
        (lambda m, e: IntegratedGradients(m).attribute(e, target=[1, 2]), "2 elements"),
        (lambda m, e: IntegratedGradients(m).attribute(e, target=(1, 2, 3)), "position, token"),
        (lambda m, e: IntegratedGradients(m).attribute(e, target=1, method="simpson"), "simpson"),
        (lambda m, e: IntegratedGradients(m).attribute(e, target=1, n_steps=0), "n_steps 0"),
        (
            lambda m, e: IntegratedGradients(m).attribute(e, target=1, internal_batch_size=0),
            "batch_size 0",
        ),
        (
            lambda m, e: IntegratedGradients(m).attribute(e, target=1, baselines=e[:, :2]),
            "baselines",
        ),
        (lambda m, e: IntegratedGradients(m).attribute(e, None, 1, "x"), "additional_forward_args"),
        (
            lambda m, e: LayerIntegratedGradients(m, "blocks.*.hook_resid_post").attribute([[1]], target=1),
            "one site",
        ),
        (lambda m, e: LayerIntegratedGradients(m, "hook_embed", device_ids=[0]), "device_ids"),
        (lambda m, e: LLMGradientAttribution(Saliency(m), m.tokenizer), "Saliency"),
    ],
)
def test_refusals(model, ids, call, words):
    with pytest.raises(vitrine.Error, match=words):
        call(model, model.embed(ids)[None])
