# SPDX-License-Identifier: MIT
"""Against the native analyses, and by the definitions of the scores."""

import numpy as np
import pytest
from conftest import TEXT, log_softmax

import vitrine
import vitrine.inseq

WHOLE = TEXT + " are on"


def attribute(model, method, **options):
    return vitrine.inseq.load_model(model, method).attribute(TEXT, WHOLE, **options)[0]


@pytest.mark.parametrize(
    "method, native",
    [
        ("input_x_gradient", {"method": "grad-x-input"}),
        ("saliency", {"method": "gradient-norm"}),
        (
            "integrated_gradients",
            {"method": "integrated-gradients", "steps": 12, "baseline": "<|endoftext|>"},
        ),
    ],
)
@pytest.mark.parametrize("function, value", [("probability", "prob"), ("logit", "logit"), ("crossentropy", "log-prob")])
def test_the_shares_are_those_of_saliency(model, method, native, function, value):
    """vitrine.saliency is compared with Captum elsewhere."""
    more = {"n_steps": 12} if method == "integrated_gradients" else {}
    found = attribute(model, method, attributed_fn=function, **more)
    columns = np.asarray(found.aggregate().target_attributions)
    ids = model.encode(WHOLE)
    for k, position in enumerate((5, 6)):
        expected = vitrine.saliency(model, ids[:position], target=ids[position], value=value, **native)
        assert columns[:position, k] == pytest.approx(expected["tokens_share"].ravel(), rel=1e-3)
        assert np.isnan(columns[position:, k]).all()


def test_contrasts_and_deltas(model):
    are, is_, on = (model.tokenizer.single_token(token) for token in (" are", " is", " on"))
    contrast = {"attributed_fn": "contrast_logits_diff", "contrast_targets": TEXT + " is on"}
    found = attribute(model, "input_x_gradient", **contrast)
    sums = np.asarray(found.aggregate("sum", normalize=False).target_attributions)
    target = vitrine.Target.logit(are) - vitrine.Target.logit(is_)
    ids = model.encode(TEXT)
    gradient = model.gradients(ids, target, wrt="hook_embed")["hook_embed"]
    assert sums[:5, 0] == pytest.approx((gradient * model.embed(ids)).sum(1), rel=1e-3, abs=1e-5)
    assert np.abs(sums[:6, 1]).max() == 0  # " on" is its own contrast
    whole = attribute(
        model,
        "integrated_gradients",
        n_steps=100,
        attributed_fn="logit",
        return_convergence_delta=True,
    )
    sums = np.nansum(np.asarray(whole.target_attributions), (0, 2))
    for k, token in enumerate((are, on)):
        prefix = model.encode(WHOLE)[: 5 + k]
        absent = [model.tokenizer.end_of_text] * len(prefix)
        change = model.run(prefix).logits[-1, token] - model.run(absent).logits[-1, token]
        assert float(sums[k] - whole.step_scores["deltas"][k]) == pytest.approx(change, abs=1e-3)


def test_aggregation(model):
    found = attribute(model, "input_x_gradient")
    values = np.asarray(found.target_attributions)[:5, 0]
    for name, expected in {
        "vnorm": np.linalg.norm(values, axis=1),
        "mean": values.mean(1),
        "max": values.max(1),
        "absmax": values[np.arange(5), np.abs(values).argmax(1)],
    }.items():
        column = np.asarray(found.aggregate(name, normalize=False).target_attributions)[:5, 0]
        assert column == pytest.approx(expected, rel=1e-5)
        scaled = np.asarray(found.aggregate(name).target_attributions)[:5, 0]
        assert scaled == pytest.approx(expected / np.abs(expected).sum(), rel=1e-5)
    assert np.nanmax(np.abs(np.asarray(found.aggregate("sum", rescale=True).target_attributions))) == pytest.approx(1)


def test_scores_by_their_definitions(model):
    names = ["crossentropy", "perplexity", "probability"]
    found = attribute(model, "saliency", step_scores=names).step_scores
    ids = model.encode(WHOLE)
    loss = -log_softmax(model.run(ids).logits)[[4, 5], ids[5:]]
    assert np.asarray(found["crossentropy"]) == pytest.approx(loss, rel=1e-5)
    assert np.asarray(found["perplexity"]) == pytest.approx(2**loss, rel=1e-5)


def test_the_text_is_generated_if_there_is_none(model):
    lm = vitrine.inseq.load_model(model, "input_x_gradient")
    out = lm.attribute([TEXT, "The key"], generation_args={"max_new_tokens": 2}, attr_pos_end=-1)
    assert len(out) == 2
    for one, prompt in zip(out, (TEXT, "The key")):
        ids = [token.id for token in one.target]
        assert ids == model.encode(prompt) + model.generate(prompt, 2).ids
        assert np.asarray(one.target_attributions).shape == (len(ids), 1, model.config.width)


def test_it_is_shown(model, capsys):
    found = attribute(model, "saliency", step_scores=["entropy"])
    page = found.show(return_html=True)
    printed = capsys.readouterr().out
    assert "' keys'" in printed and "entropy" in printed
    assert " cabinet</th>" in page and "<iframe" in found._repr_html_()
    scores = found.get_scores_dicts()["target_attributions"][(5, " are")]
    assert sum(value for value in scores.values() if np.isfinite(value)) == pytest.approx(1)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m: vitrine.inseq.load_model(m, "occlusion"), "vitrine.saliency"),
        (lambda m: vitrine.inseq.load_model(m, "lime"), "integrated_gradients"),
        (lambda m: attribute(m, None), "missing attribution method"),
        (lambda m: attribute(m, "saliency", n_steps=3), "n_steps"),
        (lambda m: attribute(m, "integrated_gradients", n_steps=0), "n_steps 0"),
        (lambda m: attribute(m, "saliency", show_progress=True), "show_progress"),
        (lambda m: attribute(m, "saliency", step_scores=["pcxmi"]), "pcxmi"),
        (lambda m: attribute(m, "saliency", attributed_fn="perplexity"), "perplexity"),
        (
            lambda m: attribute(m, "saliency", attributed_fn="contrast_prob_diff"),
            "missing contrast_targets",
        ),
        (lambda m: attribute(m, "saliency", contrast_targets=WHOLE), "contrast_targets"),
        (
            lambda m: attribute(m, "saliency", attributed_fn="contrast_prob_diff", contrast_targets="a"),
            "tokens",
        ),
        (lambda m: attribute(m, "saliency", attr_pos_start=2), "5 to 7"),
        (lambda m: attribute(m, "saliency", generation_args={"top_k": 1}), "generation_args"),
        (lambda m: vitrine.inseq.load_model(m, "saliency").attribute(TEXT, "Other"), "begin with"),
        (lambda m: attribute(m, "saliency").aggregate("median"), "median"),
        (lambda m: attribute(m, "saliency").aggregate().aggregate(), "already"),
    ],
)
def test_refusals(model, call, words):
    with pytest.raises(vitrine.Error, match=words):
        call(model)
