# SPDX-License-Identifier: MIT
"""Against Ecco's formulas, and the native analyses."""

import numpy as np
import pytest
from conftest import TEXT, log_softmax

import vitrine
import vitrine.ecco


@pytest.fixture(scope="module")
def output(model):
    return vitrine.ecco.LM(model, activations=True).generate(TEXT, generate=3)


def test_the_tokens(model, output):
    assert output.ids == model.encode(TEXT) + model.generate(TEXT, 3).ids and output.n_input_tokens == 5
    assert output.output_text == "".join(output.tokens[0]) == model.tokenizer.decode(output.ids)
    assert np.asarray(output.token_ids).tolist() == [output.ids]


@pytest.mark.parametrize(
    "method, native",
    [
        ("grad_x_input", "grad-x-input"),
        ("saliency", "gradient-norm"),
        ("ig", "integrated-gradients"),
    ],
)
def test_attributions_are_eccos_formula(model, output, method, native):
    """vitrine.saliency is compared with Ecco's published formula elsewhere."""
    found = output.attributions_of(method)
    for end, row in zip(range(5, 8), found, strict=True):
        expected = vitrine.saliency(model, output.ids[:end], target=output.ids[end], value="prob", method=native)
        assert row == pytest.approx(expected["tokens_share"].ravel(), rel=1e-3)
    data = output.primary_attributions(method, ignore_tokens=[1]).data["attributions"]
    assert all(row[1] == 0 for row in data) and data[2][0] == pytest.approx(found[2][0])


def residual(model, output, position):
    """[L, V]: the unembedding of each block's output, normalised in the last alone."""
    sites = [f"blocks.{n}.hook_resid_post" for n in range(6)]
    run = model.run(output.ids[:-1], capture=sites)
    rows = np.stack([run[site][position] for site in sites])
    logits = rows @ model.unembedding(range(model.config.vocab)).T
    logits[-1] = run.logits[position]
    return logits


def test_rankings(model, output):
    ranks = output.rankings().data["rankings"]
    for k, end in enumerate(range(5, 8)):
        logits = residual(model, output, end - 1)
        assert ranks[:, k].tolist() == (1 + (logits > logits[:, [output.ids[end]]]).sum(1)).tolist()
    watched = [model.tokenizer.single_token(token) for token in (" is", " are")]
    logits = residual(model, output, 5)
    expected = [(1 + (logits > logits[:, [token]]).sum(1)).tolist() for token in watched]
    for watch in ([" is", " are"], watched):
        view = output.rankings_watch(watch, position=6)
        assert view.data["rankings"].T.tolist() == expected and view.data["output_tokens"] == [
            " is",
            " are",
        ]
    last = output.rankings_watch([" is"]).data["rankings"]
    assert np.array_equal(last, output.rankings_watch([" is"], position=7).data["rankings"])


def test_layer_predictions(model, output):
    view = output.layer_predictions(position=6, topk=4)
    log_p = log_softmax(residual(model, output, 5))
    for layer, row in enumerate(view.data):
        best = np.argsort(-log_p[layer])[:4]
        assert [cell["token"] for cell in row] == [model.tokenizer.token(int(token)) for token in best]
        assert [cell["prob"] for cell in row] == pytest.approx(np.exp(log_p[layer][best]), abs=1e-4)
        assert {cell["layer"] for cell in row} == {layer}
    one = output.layer_predictions(topk=2, layer=3).data
    assert len(one) == 1 and [cell["ranking"] for cell in one[0]] == [1, 2]


def test_factors(output):
    activations = output.activations
    assert activations.shape == (1, 6, 1024, 7)
    nmf = output.run_nmf(n_components=7, from_layer=1, to_layer=3)
    assert nmf.components.shape == (7, 7) and (nmf.components >= 0).all()
    data = np.maximum(activations[0, 1:3].reshape(-1, 7).T, 0)
    few = output.run_nmf(n_components=2, from_layer=1, to_layer=3)
    misses = [np.linalg.norm(data - one.components.T @ one.result["neurons"]) for one in (few, nmf)]
    assert misses[1] < 0.1 * np.linalg.norm(data) < misses[0]
    factors = np.array(few.explore().data["factors"][0])
    assert np.array_equal(factors[:, :5], few.components[:, :5])
    assert np.array_equal(factors[:, 5:], few.components[:, 4:])


def test_a_pass_without_generation(model):
    ids = model.encode(TEXT)
    found = vitrine.ecco.LM(model, True, [2, 4])({"input_ids": [ids]})
    run = model.run(ids, capture="blocks.4.mlp.hook_post")
    assert np.array_equal(found.activations[0, 1], run["blocks.4.mlp.hook_post"].T)
    assert found.run_nmf(2).components.shape == (2, len(ids))
    with pytest.raises(vitrine.Error, match="no generated tokens"):
        found.rankings()


def test_other_generations(model):
    lm = vitrine.ecco.LM(model)
    sampled = lm.generate(TEXT, generate=3, do_sample=True, top_k=5, seed=3)
    assert sampled.ids[5:] == model.generate(TEXT, 3, temperature=1.0, top_k=5, seed=3).ids
    assert lm.generate(TEXT, generate=3, beam_size=3).ids[5:] == model.beam_search(TEXT, 3, 3)[0].ids
    assert len(lm.generate(TEXT).ids) == 8


def test_pages(output):
    views = [
        output.primary_attributions(),
        output.position(5),
        output.rankings(),
        output.rankings_watch([" is"]),
        output.layer_predictions(),
        output.run_nmf(2).explore(),
    ]
    for view in views:
        assert view.html().startswith("<!doctype html>") and "cabinet" in view.html() + output.output_text
        assert "<iframe" in view._repr_html_()


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m, o: vitrine.ecco.from_pretrained("demo", attention=True), "vitrine.attention"),
        (lambda m, o: vitrine.ecco.from_pretrained("demo", gpu=False), "device"),
        (lambda m, o: vitrine.ecco.from_pretrained("demo", verbose=True), "verbose"),
        (lambda m, o: vitrine.ecco.LM(m, layer_nums=[1]), "activations is False"),
        (lambda m, o: vitrine.ecco.LM(m).generate(TEXT, generate=2).run_nmf(), "activations=True"),
        (lambda m, o: vitrine.ecco.LM(m).generate(TEXT, top_k=3), "do_sample"),
        (lambda m, o: vitrine.ecco.LM(m).generate(TEXT, max_length=5), "max_length"),
        (lambda m, o: vitrine.ecco.LM(m).generate(TEXT, max_length=0), "max_length 0"),
        (lambda m, o: vitrine.ecco.LM(m).generate(TEXT, generate=0), "generate 0"),
        (lambda m, o: vitrine.ecco.LM(m).generate(TEXT, 8, generate=3), "max_length"),
        (lambda m, o: o.attributions_of("lrp"), "vitrine.saliency"),
        (lambda m, o: o.position(2), "5 to 7"),
        (lambda m, o: o.layer_predictions(layer=6), "layer 6"),
        (lambda m, o: o.run_nmf(from_layer=3, to_layer=3), "layers 3 to 3"),
        (lambda m, o: o.attention(), "vitrine.attention"),
        (lambda m, o: o.primary_attributions(style="big"), "style"),
    ],
)
def test_refusals(model, output, call, words):
    with pytest.raises(vitrine.Error, match=words):
        call(model, output)
