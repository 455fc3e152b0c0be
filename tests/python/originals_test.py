# SPDX-License-Identifier: MIT
"""Against what Captum, inseq, Ecco and tuned-lens computed (tools/make_peer_goldens.py)."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXT

import vitrine
import vitrine.ecco
import vitrine.inseq
from vitrine.captum import (
    Forward,
    InputXGradient,
    IntegratedGradients,
    LayerIntegratedGradients,
    LLMGradientAttribution,
    Saliency,
    TextTokenInput,
)
from vitrine.tuned_lens import LogitLens, PredictionTrajectory, TunedLens

TESTS = Path(__file__).parents[1]


def golden(name):
    return json.loads((TESTS / "python/goldens" / f"{name}.json").read_text())


CAPTUM, INSEQ, ECCO, TUNED_LENS = map(golden, ("captum", "inseq", "ecco", "tuned_lens"))
ONE = ["cross_entropy", "entropy", "forward_kl", "max_probability", "log_prob_diff"]
TWO = ["kl_divergence", "js_divergence", "total_variation"]


def near(found, expected, tolerance=1e-4):
    """Within a share of the expected values' spread."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= tolerance * np.ptp(expected)


METHODS = ["gausslegendre", "riemann_trapezoid", "riemann_middle", "riemann_left", "riemann_right"]


@pytest.fixture(scope="module", params=["plain", "untied"])
def checkpoint(request):
    return request.param, vitrine.Model.load(TESTS / "goldens" / request.param)


@pytest.fixture(params=["logit", "log_prob", "prob"])
def case(request, checkpoint):
    name, small = checkpoint
    expected = CAPTUM[f"{name} {request.param}"]
    embeddings = np.stack([small.embed(ids) for ids in expected["ids"]])
    return Forward(small, request.param), embeddings, expected


def test_captum_gradients(case):
    forward, embeddings, expected = case
    near(Saliency(forward).attribute(embeddings, target=[7, 20]), expected["saliency"])
    signed = np.asarray(Saliency(forward).attribute(embeddings, target=[7, 20], abs=False))
    near(embeddings * signed, expected["input_x_gradient"])
    near(InputXGradient(forward).attribute(embeddings, target=[7, 20]), expected["input_x_gradient"])
    near(
        InputXGradient(forward).attribute(embeddings, target=[(2, 7), (3, 1)]),
        expected["at_position_2"],
    )


@pytest.mark.parametrize("method", METHODS)
def test_captum_integrated_gradients(case, method):
    forward, embeddings, expected = case
    found, delta = IntegratedGradients(forward).attribute(
        embeddings,
        0.25,
        [7, 20],
        n_steps=11,
        method=method,
        internal_batch_size=4,
        return_convergence_delta=True,
    )
    near(np.asarray(found).sum(-1), expected[method][0])
    scale = np.ptp(expected[method][0])
    assert np.abs(np.asarray(delta) - expected[method][1]).max() < 1e-4 * scale


def test_captum_integrated_gradients_without_the_inputs(case):
    forward, embeddings, expected = case
    found = IntegratedGradients(forward, multiply_by_inputs=False).attribute(embeddings, target=[7, 20], n_steps=5)
    near(np.linalg.norm(np.asarray(found), axis=-1), expected["without_inputs"])


def test_captum_a_layer_and_an_answer(checkpoint):
    name, small = checkpoint
    ids = CAPTUM[f"{name} logit"]["ids"]
    layer = LayerIntegratedGradients(small, "blocks.0.hook_resid_post")
    near(
        np.asarray(layer.attribute(ids, baselines=4, target=7, n_steps=9)).sum(-1),
        CAPTUM[name]["layer"],
    )

    class Numbers:
        def encode(self, text, add_special_tokens=True):
            return [int(word) for word in text.split()]

        def convert_ids_to_tokens(self, ids):
            return [str(token) for token in ids]

    expected = CAPTUM[name]["answer"]
    given = TextTokenInput(expected["prompt"], Numbers(), baselines=4, skip_tokens=[3])
    method = LLMGradientAttribution(LayerIntegratedGradients(small, "hook_embed"), Numbers())
    result = method.attribute(given, target="7 9 3", n_steps=6)
    assert result.input_tokens == expected["tokens"] and result.output_tokens == ["7", "9", "3"]
    near(result.token_attr, expected["token_attr"])
    near(result.seq_attr, np.sum(expected["token_attr"], 0))


@pytest.fixture(scope="module")
def lenses(checkpoint):
    name, small = checkpoint
    folder = TESTS / "analysis/goldens" / f"tuned_{name}"
    tuned = TunedLens.from_model_and_pretrained(small, folder)
    return name, small, {"logit": LogitLens.from_model(small), "tuned": tuned}


def path(lenses, kind, **options):
    name, small, made = lenses
    given = {key: TUNED_LENS[f"{name} {kind}"][key] for key in ("targets", "anti_targets")}
    ids = TUNED_LENS[f"{name} {kind}"]["ids"]
    return PredictionTrajectory.from_lens_and_model(made[kind], small, ids, **given, **options)


@pytest.mark.parametrize("kind", ["logit", "tuned"])
def test_tuned_lens_statistics(lenses, kind):
    expected = TUNED_LENS[f"{lenses[0]} {kind}"]
    found, other = path(lenses, kind), path(lenses, "tuned" if kind == "logit" else "logit")
    for name in ONE:
        near(getattr(found, name)().stats, expected[name])
    near(found.log_prob_diff(delta=True).stats, expected["log_prob_delta"])
    assert found.rank().stats.tolist() == expected["rank"]
    for name in TWO:
        near(getattr(found, name)(other).stats, expected[name])
    near(path(lenses, kind, mask_input=True).entropy().stats, expected["masked_entropy"])


def test_tuned_lens_rows_through_a_lens(lenses):
    name, small, made = lenses
    expected = TUNED_LENS[f"{name} tuned"]
    hidden = np.arange(small.config.width, dtype=np.float32) / 10 - 1
    near(made["tuned"].transform_hidden(hidden, 1), expected["transform"])
    near(made["tuned"](hidden, 1), expected["forward"])


@pytest.mark.parametrize("case", INSEQ)
def test_inseq_attributions_and_scores(model, case):
    expected = INSEQ[case]
    method, function = case.split()
    more = {"n_steps": 12, "return_convergence_delta": True} if method == "integrated_gradients" else {}
    if "contrast" in function:
        more["contrast_targets"] = TEXT + " is on"
    scores = [name for name in expected["scores"] if name != "deltas"]
    lm = vitrine.inseq.load_model(model, method)
    found = lm.attribute(TEXT, TEXT + " are on", attributed_fn=function, step_scores=scores, **more)[0]
    assert [token.id for token in found.target] == expected["tokens"]
    assert len(found.source) == expected["source"]
    assert [found.attr_pos_start, found.attr_pos_end] == expected["range"]
    aggregated = {
        "vnorm": found.aggregate(),
        "sum": found.aggregate("sum", normalize=False),
        "absmax": found.aggregate("absmax", rescale=True),
    }
    for name, one in aggregated.items():
        values, wanted = np.asarray(one.target_attributions), np.array(expected[name])
        absent = ~np.isfinite(values)
        assert np.array_equal(absent, wanted == (-9 if name == "absmax" else -1))
        near(values[~absent], wanted[~absent])
    for name, score in expected["scores"].items():
        assert np.asarray(found.step_scores[name]) == pytest.approx(score, rel=1e-3, abs=1e-4), name


@pytest.fixture(scope="module")
def output(model):
    return vitrine.ecco.LM(model, activations=True).generate(TEXT, generate=3)


def test_ecco_the_tokens(model, output):
    assert output.ids == ECCO["token_ids"] and output.n_input_tokens == ECCO["n_input_tokens"]
    assert output.output_text == "".join(output.tokens[0]) == model.tokenizer.decode(output.ids)
    assert np.asarray(output.token_ids).tolist() == [output.ids]


@pytest.mark.parametrize("method", ECCO["attribution"])
def test_ecco_attributions(output, method):
    found = output.attributions_of(method)
    assert len(found) == len(ECCO["attribution"][method])
    for row, expected in zip(found, ECCO["attribution"][method]):
        near(row, expected)
    data = output.primary_attributions(method, ignore_tokens=[1]).data["attributions"]
    assert all(row[1] == 0 for row in data) and data[2][0] == pytest.approx(found[2][0])


def test_ecco_rankings(output):
    assert output.rankings().data["rankings"].tolist() == ECCO["rankings"]
    position = output.n_input_tokens + 1
    for watch in ([" is", " are"], ECCO["watch"]):
        view = output.rankings_watch(watch, position=position)
        assert view.data["rankings"].tolist() == ECCO["rankings_watch"]
        assert view.data["output_tokens"] == [" is", " are"]


def test_ecco_layer_predictions(output):
    view = output.layer_predictions(position=output.n_input_tokens + 1, topk=4)
    for row, expected in zip(view.data, ECCO["layer_predictions"], strict=True):
        assert [cell["token"] for cell in row] == [token for token, _, _ in expected]
        assert [cell["prob"] for cell in row] == pytest.approx([prob for _, prob, _ in expected], abs=1e-5)
        assert [cell["layer"] for cell in row] == [layer for _, _, layer in expected]
    one = output.layer_predictions(topk=2, layer=3).data
    assert len(one) == 1 and [cell["ranking"] for cell in one[0]] == [1, 2]


def test_ecco_activations_and_their_factors(output):
    shape, sums, size = ECCO["activations"]
    activations = output.activations
    assert list(activations.shape) == shape
    near(activations.sum(2)[0], sums)
    assert np.abs(activations).sum() == pytest.approx(size, rel=1e-5)
    nmf = output.run_nmf(n_components=3, from_layer=1, to_layer=3)
    shape, residual = ECCO["nmf"]
    assert list(nmf.components.shape) == shape
    data = np.maximum(activations[0, 1:3].reshape(-1, shape[1]).T, 0)
    fit = nmf.components.T @ nmf.result["neurons"]
    assert np.linalg.norm(data - fit) / np.linalg.norm(data) <= residual * 1.05
    factors = nmf.explore().data["factors"][0]
    assert len(factors) == 3 and all(len(row) == len(output.ids) for row in factors)
