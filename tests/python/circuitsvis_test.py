# SPDX-License-Identifier: MIT
"""The pages: what they hold, that they load nothing, and what a browser makes of them."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest

import vitrine
import vitrine.circuitsvis as cv

TOKENS = ["The", " keys", "\n", "</script><b>&"]
RNG = np.random.default_rng(0)
MAPS = np.tril(RNG.random((3, 4, 4)))
ACTIVATIONS = RNG.normal(size=(4, 2, 5))
LOG_PROBS = np.log(np.array([[0.5, 0.25, 0.125, 0.125]] * 4))


def data(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page.html(), re.S)[1])


def pages():
    return {
        "patterns": cv.attention.attention_patterns(TOKENS, MAPS),
        "heads": cv.attention_heads(MAPS, TOKENS, ["a", "b", "<c>"], max_value=0.5, positive_color="rgb(1, 2, 3)"),
        "pattern": cv.attention_pattern(TOKENS, MAPS[0], show_axis_labels=False),
        "colored": cv.tokens.colored_tokens(TOKENS, [1.0, -2.0, 0.0, np.nan]),
        "multi": cv.tokens.colored_tokens_multi(TOKENS, ACTIVATIONS[:, 0], list("abcde")),
        "neurons": cv.activations.text_neuron_activations(TOKENS, ACTIVATIONS),
        "texts": cv.text_neuron_activations([TOKENS, TOKENS[:2]], [ACTIVATIONS, ACTIVATIONS[:2]]),
        "topk": cv.topk_tokens([TOKENS], [ACTIVATIONS.transpose(1, 0, 2)], max_k=2),
        "log_probs": cv.logits.token_log_probs(np.array([0, 1, 2, 3]), LOG_PROBS, lambda i: TOKENS[i], top_k=3),
    }


def test_pages_load_nothing_and_escape_their_texts():
    for name, page in pages().items():
        text = page.html()
        assert "default-src 'none'" in text and "prefers-color-scheme" in text, name
        assert not re.search(r"""(src|href)=|https?://|@import|url\(""", text), name
        assert "</script><b>" not in text, name
        assert 'sandbox="allow-scripts"' in page._repr_html_() and str(page) == text


def test_the_numbers_are_those_given():
    found = {name: data(page) for name, page in pages().items() if name != "log_probs"}
    assert np.allclose(found["patterns"]["attention"], MAPS, atol=1e-5)
    assert found["patterns"]["tokens"] == TOKENS and found["patterns"]["mask"] is True
    assert found["heads"]["scale"]["plus"] == "rgb(1, 2, 3)" and found["heads"]["scale"]["high"] == 0.5
    assert found["colored"]["values"] == [[[[1.0]], [[-2.0]], [[0.0]], [[None]]]]
    assert (found["colored"]["scale"]["low"], found["colored"]["scale"]["high"]) == (-2, 1)
    assert np.allclose(found["neurons"]["values"][0], ACTIVATIONS, atol=1e-4)
    assert len(found["texts"]["tokens"][1]) == 2
    for k in range(2):
        for layer in range(2):
            for neuron in range(5):
                position, value = found["topk"]["top"][0][layer][k][neuron]
                column = ACTIVATIONS[:, layer, neuron]
                assert position == np.argsort(-column)[k] and value == pytest.approx(column[position], rel=1e-4)
                position, value = found["topk"]["bottom"][0][layer][k][neuron]
                assert position == np.argsort(-column)[2 + k]


def test_log_probabilities_have_their_ranks():
    text = pages()["log_probs"].html()
    hints = re.findall(r'title="(log-probability.*?)"', text, re.S)
    assert len(hints) == 3
    assert "rank 2" in hints[0] and "rank 3" in hints[1] and "rank 3" in hints[2]
    assert hints[0].count("\n") == 3 and "1. &#x27;The&#x27; -0.6931" in hints[0]


def test_a_browser_draws_them(tmp_path):
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium")
    whole = tmp_path / "all.html"
    frames = "".join(
        page._repr_html_().replace("allow-scripts", "allow-scripts allow-same-origin") for page in pages().values()
    )
    report = """<script>addEventListener('load', () => {
      document.title = JSON.stringify([...document.querySelectorAll('iframe')].map(f => {
        const d = f.contentDocument;
        return [d.querySelectorAll('td').length, d.querySelectorAll('.t span').length,
                d.querySelectorAll('canvas').length, d.querySelectorAll('select').length,
                d.querySelectorAll('b').length, d.querySelectorAll('tr:nth-child(2) td[title]').length];
      }));
    });</script>"""
    whole.write_text(f"<!doctype html><meta charset=utf-8><title></title>{frames}{report}")
    done = subprocess.run(
        [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path}/profile",
            "--dump-dom",
            whole.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title, done.stderr
    found = dict(zip(pages(), json.loads(title[1])))
    cells = {name: counts[:5] for name, counts in found.items()}
    for name in ("patterns", "heads", "pattern"):
        assert found[name][5] == 1, name  # the first token sees itself alone
    assert cells["patterns"] == [16, 0, 3, 0, 0] and cells["heads"] == [16, 0, 3, 0, 0]
    assert cells["pattern"] == [16, 0, 0, 0, 0]
    assert cells["colored"] == [0, 4, 0, 3, 0] and cells["multi"] == [0, 4, 0, 3, 0]
    assert cells["neurons"] == [0, 4, 0, 3, 0] and cells["texts"] == [0, 4, 0, 3, 0]
    assert cells["topk"] == [20, 0, 0, 3, 0] and cells["log_probs"] == [0, 3, 0, 0, 0]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: cv.attention_patterns(TOKENS[:2], MAPS), "tokens"),
        (lambda: cv.attention_patterns(TOKENS, MAPS[0]), "3 axes"),
        (lambda: cv.attention_heads(MAPS[:, :2], TOKENS[:2]), r"\[heads, T, T\]"),
        (lambda: cv.attention_heads(MAPS, TOKENS, ["a"]), "attention_head_names"),
        (
            lambda: cv.attention_heads(MAPS, TOKENS, positive_color="red;background:url(//x)"),
            "color",
        ),
        (lambda: cv.attention_heads(MAPS, TOKENS, max_value=np.inf), "finite"),
        (lambda: cv.colored_tokens("word", [1.0, 2.0, 3.0, 4.0]), "tokens"),
        (lambda: cv.colored_tokens_multi(TOKENS, ACTIVATIONS[:, 0], ["a"]), "labels"),
        (lambda: cv.text_neuron_activations([TOKENS], [ACTIVATIONS, ACTIVATIONS]), "each text"),
        (lambda: cv.topk_tokens([TOKENS], [ACTIVATIONS.transpose(1, 0, 2)], max_k=0), "max_k"),
        (lambda: cv.token_log_probs([0, 9], LOG_PROBS[:2], str), "within 4"),
        (lambda: cv.token_log_probs([0, 1], LOG_PROBS, str), "token_indices"),
    ],
)
def test_refusals(call, words):
    with pytest.raises(vitrine.Error, match=words):
        call()
