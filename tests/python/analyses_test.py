# SPDX-License-Identifier: MIT
"""Results against the passes they describe, and against the command line's JSON."""

import json
import subprocess

import numpy as np
import pytest
from conftest import TEXT, log_softmax

import vitrine
from vitrine import Edit, Error

PAIR = (TEXT, "The key to the cabinet")


def command(*arguments):
    done = subprocess.run([str(vitrine.command.program()), *arguments, "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_lens_rows_are_the_softmax_of_the_residual_stream(model):
    result = vitrine.lens(model, TEXT, watch=[" is", " are"], kl=True)
    are = model.tokenizer.single_token(" are")
    log_p = log_softmax(model.run(TEXT).logits)
    assert result["watch_log_probability"][-1, -1, 1] == pytest.approx(log_p[-1, are], abs=1e-4)
    assert result["watch_rank"][-1, -1, 1] == 1 + (log_p[-1] > log_p[-1, are]).sum()
    assert np.allclose(result["kl"][-1], 0, atol=1e-9)


@pytest.mark.parametrize(
    "arguments, call",
    [
        (["lens", "--prompt", TEXT, "--watch", " is, are"], lambda m: vitrine.lens(m, TEXT, watch=[" is", " are"])),
        (
            ["lens", "--prompt", TEXT, "--layers", "embed,2..3", "--position", "-1"],
            lambda m: vitrine.lens(m, TEXT, layers=["embed", 2, 3], positions=-1),
        ),
        (["lens", "--prompt", TEXT, "-n", "4"], lambda m: vitrine.rankings(m, TEXT, 4)),
        (
            ["saliency", "--prompt", TEXT, "--target", " are", "--contrast", " is"],
            lambda m: vitrine.saliency(m, TEXT, target=" are", contrast=" is"),
        ),
        (
            ["saliency", "--prompt", TEXT, "--method", "integrated-gradients", "--steps", "7"],
            lambda m: vitrine.saliency(m, TEXT, method="integrated-gradients", steps=7),
        ),
        (
            ["attribute", "--prompt", TEXT, "--target", " are", "--against", " is"],
            lambda m: vitrine.logit_attribution(m, TEXT, target=" are", against=" is"),
        ),
        (["score", "--prompt", TEXT], lambda m: vitrine.score(m, TEXT)),
        (["score", "--prompt", TEXT, "--words"], lambda m: vitrine.score_words(m, TEXT)),
        (
            ["noise", "--prompt", TEXT, "--kind", "spans", "--kind", "rotation", "--repetitions", "3"],
            lambda m: vitrine.noise(m, TEXT, kinds=["spans", "rotation"], repetitions=3),
        ),
        (
            ["patch", "--clean", PAIR[0], "--corrupt", PAIR[1], "--answer", " are", "--wrong", " is"],
            lambda m: vitrine.patch(m, *PAIR, answer=" are", wrong=" is"),
        ),
    ],
)
def test_the_command_line_says_the_same(model, arguments, call):
    printed = command(*arguments)
    expected = printed["results"][0] if "results" in printed else printed
    found = call(model).to_dict()
    assert len(found) > 1
    for name, value in found.items():
        assert expected[name] == value, name


def test_patching_cells_are_edits(model):
    clean = model.run(PAIR[0], capture="blocks.2.hook_resid_pre")
    are, other = (model.tokenizer.single_token(t) for t in (" are", " is"))

    def metric(logits):
        return float(logits[-1, are]) - float(logits[-1, other])

    edit = Edit.replace_from("blocks.2.hook_resid_pre", clean.captures, positions=1)
    low, high = metric(model.run(PAIR[1]).logits), metric(clean.logits)
    effect = (metric(model.run(PAIR[1], edits=edit).logits) - low) / (high - low)
    result = vitrine.patch(model, *PAIR, answer=" are", wrong=" is", layers=2, positions=1)
    cells = [array for name, array in result.arrays().items() if name.endswith("effect")]
    assert len(cells) == 1
    assert cells[0].ravel() == pytest.approx([effect], abs=1e-6)


def test_covariance_is_numpys():
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(4, 30))
    for arguments in (
        {},
        {"bias": True},
        {"ddof": 0},
        {"aweights": rng.random(30)},
        {"fweights": rng.integers(1, 4, 30)},
    ):
        result = vitrine.covariance(matrix, **arguments)
        assert np.allclose(result["covariance"], np.cov(matrix, **arguments), rtol=1e-12), arguments


def test_attention_is_the_pattern(model):
    pattern = model.run(TEXT, capture="blocks.2.attn.hook_pattern")["blocks.2.attn.hook_pattern"]
    found = [a for a in vitrine.attention(model, TEXT, layers=2, heads=1).arrays().values() if a.size == 25]
    assert len(found) == 1 and np.allclose(found[0].reshape(5, 5), pattern[1], atol=1e-6)
    for result in (
        vitrine.attention_rollout(model, TEXT),
        vitrine.attention_flow(model, TEXT),
        vitrine.heads(model, PAIR, sequences=2, length=8),
    ):
        assert result.to_dict() and result.html()


def test_other_analyses_have_their_keys(model):
    assert vitrine.ablate(model, TEXT, answer=" are", wrong=" is").to_dict()
    assert vitrine.causal_trace(model, TEXT, subject=1, answer=" are", draws=2).to_dict()
    assert vitrine.path_patch(model, *PAIR, answer=" are", wrong=" is", senders=["mlp 0"]).to_dict()
    assert vitrine.factors(model, PAIR, components=3, max_new_tokens=2).to_dict()
    assert vitrine.concept_directions(model, PAIR, ["a b", "c d"], layers=[1]).to_dict()
    cka = vitrine.similarity(model, PAIR)
    values = next(a for a in cka.arrays().values() if a.ndim == 2)
    assert np.allclose(np.diag(values), 1)


def test_a_result_is_a_page_a_figure_and_a_table(model, tmp_path):
    result = vitrine.lens(model, TEXT)
    page = tmp_path / "page.html"
    result.save_html(page)
    assert page.read_text() == result.html()
    assert 'sandbox="allow-scripts"' in result._repr_html_()
    if vitrine.can_draw_figures():
        assert result.figure().startswith(b"<?xml") or b"<svg" in result.figure()[:200]
        assert result.figure("png").startswith(b"\x89PNG")
    header = result.to_csv().splitlines()[0]
    assert "rank" in header
    with pytest.raises(KeyError, match="rank"):
        result["no such array"]


@pytest.mark.parametrize(
    "call",
    [
        lambda m: vitrine.lens(m, TEXT, translators="/nowhere"),
        lambda m: vitrine.lens(m, TEXT, layers=[6]),
        lambda m: vitrine.lens(m, TEXT, layers="final"),
        lambda m: vitrine.lens(m, TEXT, mode="exact"),
        lambda m: vitrine.saliency(m, TEXT, steps=3),
        lambda m: vitrine.saliency(m, TEXT, method="occlusion", baseline="zero"),
        lambda m: vitrine.patch(m, *PAIR, answer=" are", metric="logit-difference"),
        lambda m: vitrine.patch(m, *PAIR, answer=" are", wrong=" is", metric="prob"),
        lambda m: vitrine.patch(m, *PAIR, answer=" are", sites="hook_resid_pr"),
        lambda m: vitrine.similarity(m, PAIR, variance=0.5),
        lambda m: vitrine.heads(m, PAIR, repetition=False, seed=1),
        lambda m: vitrine.heads(m, repetition=False),
        lambda m: vitrine.noise(m, TEXT, kinds=["rotation"], budget=0.2),
        lambda m: vitrine.noise(m, TEXT, kinds=["token-deletion"], mask="zero"),
        lambda m: vitrine.rankings(m, TEXT, 2, top_p=0.5),
        lambda m: m.generate(TEXT, 2, seed=1),
        lambda m: m.generate(TEXT, 2, temperature=0.0, min_p=0.1),
        lambda m: vitrine.covariance([[1.0, 2.0]], names=["a", "b"]),
        lambda m: vitrine.covariance([1.0, 2.0]),
        lambda m: vitrine.lens(m, TEXT).figure("gif"),
    ],
)
def test_what_would_have_no_effect_is_refused(model, call):
    with pytest.raises(Error) as raised:
        call(model)
    assert raised.value.kind == "user"


def test_progress_and_interrupts(model):
    reports = []
    vitrine.noise(model, TEXT, repetitions=2, progress=lambda *r: reports.append(r))
    done, total, label = reports[-1]
    assert done == total > 0 and isinstance(label, str)

    def stop(done, total, label):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vitrine.noise(model, TEXT, repetitions=2, progress=stop)
