# SPDX-License-Identifier: MIT
"""Against torch, the definitions of the statistics, and vitrine.lens."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

import vitrine
from vitrine.tuned_lens import LogitLens, PredictionTrajectory, TunedLens

TESTS = Path(__file__).parents[1]


def translators(name):
    return TESTS / "analysis/goldens" / f"tuned_{name}"


@pytest.fixture(scope="module", params=["plain", "untied"])
def lenses(request):
    name = request.param
    small = vitrine.Model.load(TESTS / "goldens" / name)
    tuned = TunedLens.from_model_and_pretrained(small, translators(name))
    return name, small, {"logit": LogitLens.from_model(small), "tuned": tuned}


def path(lenses, kind, ids=(5, 17, 3, 60, 41), targets=(17, 3, 60, 41, 9), **options):
    _, small, made = lenses
    return PredictionTrajectory.from_lens_and_model(made[kind], small, ids, targets=targets, **options)


@pytest.mark.parametrize("kind, mode", [("logit", "normalized"), ("tuned", "tuned")])
def test_what_the_formula_gives_in_torch(lenses, kind, mode):
    """tools/make_lens_goldens.py, in double precision."""
    name, small, _ = lenses
    cases = json.loads((TESTS / f"analysis/goldens/lens_{name}.json").read_text())["lens"]
    chosen = [case for case in cases if case["mode"] == mode and case["of"] == "residual"]
    assert chosen
    for case in chosen:
        ids = case["ids"]
        best = int(small.run(ids).logits[-1].argmax())
        found = path(lenses, kind, ids, [*ids[1:], best])
        values = [found.rank().stats, -found.cross_entropy().stats, found.forward_kl().stats]
        for layer, position, *expected in case["cells"]:
            assert [one[layer, position] for one in values] == pytest.approx(expected, abs=2e-4)


def test_statistics_by_their_definitions(lenses):
    found, other = path(lenses, "tuned", anti_targets=(1, 2, 4, 6, 8)), path(lenses, "logit")
    p, q = np.exp(found.log_probs.astype(np.float64)), np.exp(other.log_probs.astype(np.float64))
    assert np.allclose(p.sum(-1), 1, atol=1e-5)
    assert np.allclose(found.entropy().stats, -(p * np.log(p)).sum(-1), atol=1e-4)
    assert np.allclose(found.max_probability().stats, p.max(-1), atol=1e-6)
    difference = np.log(p)[:, range(5), found.targets] - np.log(p)[:, range(5), found.anti_targets]
    assert np.allclose(found.log_prob_diff().stats, difference, atol=1e-4)
    delta = found.log_prob_diff(delta=True)
    assert np.allclose(delta.stats, difference[1:] - difference[:-1], atol=1e-4)
    assert "output" not in delta.page().html()
    there, back = (p * np.log(p / q)).sum(-1), (q * np.log(q / p)).sum(-1)
    assert np.allclose(found.kl_divergence(other).stats, there, atol=1e-3)
    assert np.allclose(found.js_divergence(other).stats, (there + back) / 2, atol=1e-3)
    assert np.allclose(found.total_variation(other).stats, np.abs(p - q).max(-1), atol=1e-6)
    masked = path(lenses, "tuned", mask_input=True)
    assert masked.probs[:-1, :, list(masked.input_ids)].max() == 0
    assert np.array_equal(masked.model_log_probs, found.model_log_probs)


def test_rows_through_a_lens(lenses):
    _, small, made = lenses
    hidden = np.random.default_rng(0).normal(size=(2, 20, small.config.width)).astype(np.float32)
    weight, bias = made["tuned"][1]
    moved = np.asarray(made["tuned"].transform_hidden(hidden, 1))
    assert np.allclose(moved, hidden + np.einsum("btd,ed->bte", hidden, weight) + bias, atol=1e-5)
    logits = np.asarray(made["tuned"](hidden, 1))  # more rows than the context
    assert logits.shape == (2, 20, small.config.vocab)
    assert np.array_equal(logits[1, 7], np.asarray(made["logit"](moved[1, 7], 1)))


def test_the_native_lens_says_the_same(lenses):
    name, small, _ = lenses
    ids = [5, 17, 3, 60, 41]
    native = vitrine.lens(small, ids, mode="tuned", translators=translators(name), kl=True)
    found = path(lenses, "tuned")
    assert np.allclose(found.entropy().stats, native["entropy"], atol=1e-5)
    assert np.allclose(found.forward_kl().stats, native["kl"], atol=1e-5)


def test_a_slice_and_a_page(lenses):
    found = path(lenses, "logit")
    part = found.slice_sequence(slice(1, 3))
    assert np.array_equal(part.cross_entropy().stats, found.cross_entropy().stats[:, 1:3])
    page = found.rank(show_ranks=True).page().html()
    assert f">{found.rank().stats[0, 0]}</td>" in page and ">output</th>" in page
    assert found.num_layers + 1 == len(found.log_probs) and found.num_tokens == 5


def test_a_page_has_the_most_likely_tokens(model):
    ids = model.tokenizer.encode("The keys to the cabinet")
    found = PredictionTrajectory.from_lens_and_model(LogitLens(model), model, ids).entropy()
    assert found.labels[-1, -1] == model.tokenizer.token(int(model.run(ids).logits[-1].argmax()))
    assert " cabinet</th>" in found.page().html() and "<iframe" in found._repr_html_()


def test_translators_that_change_nothing_are_the_logit_lens(lenses):
    _, small, made = lenses
    lens = TunedLens.from_model(small)
    hidden = np.ones(small.config.width, np.float32)
    assert len(lens) == small.config.layers
    assert np.array_equal(np.asarray(lens(hidden, 0)), np.asarray(made["logit"](hidden, 0)))


def test_saving(lenses, tmp_path):
    pytest.importorskip("torch")
    name, small, made = lenses
    made["tuned"].save(tmp_path / "lens")
    again = TunedLens.from_model_and_pretrained(small, tmp_path / "lens")
    for (a, b), (c, d) in zip(made["tuned"], again):
        assert np.array_equal(a, c) and np.array_equal(b, d)
    saved = json.loads((tmp_path / "lens/config.json").read_text())
    assert saved["unembed_hash"] == json.loads((translators(name) / "config.json").read_text())["unembed_hash"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_types_of_a_file(dtype, tmp_path):
    torch = pytest.importorskip("torch")
    from vitrine.tuned_lens import _read_parameters

    values = torch.linspace(-1, 1, 12).reshape(3, 4).to(getattr(torch, dtype))
    torch.save({"a": values, "b": values.T[1:]}, tmp_path / "params.pt")
    found = _read_parameters(tmp_path / "params.pt")
    assert np.array_equal(found["a"], values.float().numpy())
    assert np.array_equal(found["b"], values.T[1:].float().numpy())


class Dangerous:
    def __reduce__(self):
        return print, ("run",)


def test_a_file_can_make_nothing_but_tensors(lenses, tmp_path, capsys):
    from vitrine.tuned_lens import _read_parameters

    data = io.BytesIO()
    pickle.dump({"0.weight": Dangerous()}, data)
    with zipfile.ZipFile(tmp_path / "params.pt", "w") as archive:
        archive.writestr("params/data.pkl", data.getvalue())
    with pytest.raises(vitrine.Error, match="print"):
        _read_parameters(tmp_path / "params.pt")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda n, m, p: TunedLens.from_model_and_pretrained(m), "lens_resource_id"),
        (lambda n, m, p: TunedLens.from_model_and_pretrained(m, "/nowhere"), "nowhere"),
        (
            lambda n, m, p: TunedLens.from_model_and_pretrained(m, translators(n), revision="a"),
            "revision",
        ),
        (
            lambda n, m, p: TunedLens.from_model_and_pretrained(m, translators("plain" if n == "untied" else "untied")),
            "tuned_",
        ),
        (lambda n, m, p: TunedLens.from_model(m, bias=False), "bias"),
        (lambda n, m, p: LogitLens(m)(np.zeros(3, np.float32), 0), "shape"),
        (lambda n, m, p: LogitLens(m)(np.zeros(m.config.width, np.float32), 9), "layer 9"),
        (
            lambda n, m, p: PredictionTrajectory.from_lens_and_model(LogitLens(m), m, [1, 2]).rank(),
            "targets",
        ),
        (
            lambda n, m, p: PredictionTrajectory.from_lens_and_model(LogitLens(m), m, [1, 2], targets=[1]),
            "shape",
        ),
        (
            lambda n, m, p: PredictionTrajectory.from_lens_and_model(LogitLens(m), m, [1], targets=[10**6]),
            "outside",
        ),
        (lambda n, m, p: p.js_divergence(p.slice_sequence(slice(2))), "shape"),
        (lambda n, m, p: p.entropy().figure(), "page"),
        (lambda n, m, p: PredictionTrajectory.from_lens_and_cache(1, 2), "from_lens_and_model"),
    ],
)
def test_refusals(lenses, call, words):
    name, small, _ = lenses
    with pytest.raises(vitrine.Error, match=words):
        call(name, small, path(lenses, "logit"))
