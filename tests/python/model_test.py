# SPDX-License-Identifier: MIT
"""Passes, captures, edits, sessions, generation."""

import gc
import os
import threading

import numpy as np
import pytest
from conftest import TEXT, log_softmax

import vitrine
from vitrine import Capture, Edit, Error

RESID = "blocks.*.hook_resid_post"


def test_a_text_its_ids_and_an_array_of_them_are_one_prompt(model, ids):
    by_text = model.run(TEXT).logits
    for prompt in (ids, tuple(ids), np.array(ids), np.array(ids, np.uint16)):
        assert np.array_equal(model.run(prompt).logits, by_text)
    assert by_text.shape == (len(ids), model.config.vocab)
    assert by_text.dtype == np.float32


def test_a_batch_gives_each_sequence_its_own_bits(model, ids):
    batch = model.run([TEXT, "The key"], capture=RESID)
    assert len(batch) == 2
    assert np.array_equal(batch[0].logits, model.run(TEXT).logits)
    assert np.array_equal(batch[-1].logits, model.run("The key").logits)
    rows, offsets = batch.rows("blocks.2.hook_resid_post"), batch.offsets("blocks.2.hook_resid_post")
    assert offsets == [0, len(ids), len(ids) + 2]
    assert np.array_equal(rows[offsets[1] :], batch[1]["blocks.2.hook_resid_post"])
    with pytest.raises(IndexError):
        batch[2]


@pytest.mark.parametrize("logits, rows", [("all", 5), ("last", 1), ("none", 0)])
def test_rows_of_logits(model, ids, logits, rows):
    assert len(ids) == 5
    assert model.run(TEXT, logits=logits).logits.shape[0] == rows


def test_the_residual_stream_adds_up(model):
    run = model.run(TEXT, capture=["blocks.3.hook_*", "blocks.3.attn.hook_z"])
    before, after = run["blocks.3.hook_resid_pre"], run["blocks.3.hook_resid_post"]
    parts = before + run["blocks.3.hook_attn_out"] + run["blocks.3.hook_mlp_out"]
    assert np.allclose(parts, after, rtol=0, atol=1e-4 * np.abs(after).max())
    heads, width = model.config.heads, model.config.head_width
    assert run["blocks.3.attn.hook_z"].shape == (5, heads, width)


def test_a_part_of_a_site(model):
    whole = model.run(TEXT, capture="blocks.1.attn.hook_z")["blocks.1.attn.hook_z"]
    part = model.run(
        TEXT,
        capture=Capture("blocks.*.attn.hook_z", layers=1, positions=slice(1, -1), heads=[0, -1]),
    )
    assert part.captures.keys() == ["blocks.1.attn.hook_z"]
    assert part.captures.positions("blocks.1.attn.hook_z") == [1, 2, 3]
    assert np.array_equal(part["blocks.1.attn.hook_z"], whole[1:-1][:, [0, -1]])


@pytest.mark.parametrize(
    "positions, expected",
    [
        (0, [0]),
        (-1, [4]),
        ([1, 3], [1, 3]),
        (range(0, 5, 2), [0, 2, 4]),
        (slice(None), [0, 1, 2, 3, 4]),
        (slice(2, None), [2, 3, 4]),
        (slice(-2, None), [3, 4]),
        (np.array([4, 0]), [0, 4]),
        ([slice(0, 2), -1], [0, 1, 4]),
    ],
)
def test_positions_as_python_writes_them(model, positions, expected):
    run = model.run(TEXT, capture=Capture("blocks.0.hook_resid_pre", positions=positions))
    assert run.captures.positions("blocks.0.hook_resid_pre") == expected


@pytest.mark.parametrize("positions", [[], slice(2, 2), slice(0, 4, 2), 5, 2**40])
def test_indices_that_select_nothing_are_refused(model, positions):
    with pytest.raises(Error):
        model.run(TEXT, capture=Capture("blocks.0.hook_resid_pre", positions=positions))


@pytest.mark.parametrize("positions", ["0", 1.5, True, object()])
def test_indices_of_another_type_are_refused(positions):
    with pytest.raises(TypeError):
        Capture("blocks.0.hook_resid_pre", positions=positions)


def test_arrays_outlive_the_run_and_the_model_without_a_copy(ids):
    model = vitrine.Model.load("demo")
    run = model.run(ids, capture=RESID)
    array = run["blocks.5.hook_resid_post"]
    again = run["blocks.5.hook_resid_post"]
    assert np.shares_memory(array, again)
    assert not array.flags.writeable
    kept = array.copy()
    del run, again, model
    gc.collect()
    vitrine.Model.load("demo").run(list(reversed(ids)), capture=RESID)
    assert np.array_equal(array, kept)


def test_narrow_storage(model):
    exact = model.run(TEXT, capture="blocks.0.hook_resid_pre")["blocks.0.hook_resid_pre"]
    half = model.run(TEXT, capture=Capture("blocks.0.hook_resid_pre", store="f16"))
    assert half["blocks.0.hook_resid_pre"].dtype == np.float16
    assert np.array_equal(half["blocks.0.hook_resid_pre"], exact.astype(np.float16))
    brain = model.run(TEXT, capture=Capture("blocks.0.hook_resid_pre", store="bf16"))
    with pytest.raises(Error, match="NumPy does not have"):
        brain["blocks.0.hook_resid_pre"]
    torch = pytest.importorskip("torch")
    values = torch.from_dlpack(brain.captures.dlpack("blocks.0.hook_resid_pre"))
    assert torch.equal(values, torch.from_numpy(exact.copy()).bfloat16())


def test_declarative_edits_are_what_they_say(model):
    site = "blocks.2.hook_resid_post"
    base = model.run(TEXT, capture=site)[site]
    width = model.config.width
    direction = np.linspace(-1, 1, width, dtype=np.float32)
    unit = direction / np.linalg.norm(direction)
    edits = {
        "add": (Edit.add(site, direction), base + direction),
        "scale": (Edit.scale(site, -0.5), base * np.float32(-0.5)),
        "zero": (Edit.zero(site), np.zeros_like(base)),
        "replace": (Edit.replace(site, direction), np.tile(direction, (5, 1))),
        "number": (Edit.replace(site, 0.25), np.full_like(base, 0.25)),
        "project": (Edit.project_out(site, direction), base - np.outer(base @ unit, unit)),
    }
    for name, (edit, expected) in edits.items():
        edited = model.run(TEXT, capture=site, edits=edit)[site]
        assert np.allclose(edited, expected, rtol=0, atol=1e-4 * np.abs(base).max()), name


def test_an_edit_applies_to_its_part_alone(model):
    site = "blocks.2.attn.hook_z"
    base = model.run(TEXT, capture=site)[site]
    edited = model.run(TEXT, capture=site, edits=Edit.zero(site, heads=1, positions=[-1]))[site]
    expected = base.copy()
    expected[-1, 1] = 0
    assert np.array_equal(edited, expected)


def test_edits_apply_in_their_order(model):
    site = "blocks.2.hook_resid_post"
    twice = [Edit.replace(site, 1.0), Edit.scale(site, 3.0)]
    assert np.all(model.run(TEXT, capture=site, edits=twice)[site] == 3.0)
    assert np.all(model.run(TEXT, capture=site, edits=twice[::-1])[site] == 1.0)


def test_values_of_another_run(model):
    sites = ["blocks.1.hook_resid_post", "logits"]
    other = model.run("The key to the cabinet", capture=sites)
    edit = Edit.replace_from("blocks.1.hook_resid_post", other.captures)
    assert np.array_equal(model.run(TEXT, edits=edit).logits, other.logits)
    both = model.run([TEXT, "The key to the cabinet"], capture=sites)
    edit = Edit.replace_from("blocks.1.hook_resid_post", both[1].captures)
    assert np.array_equal(model.run(TEXT, edits=edit).logits, other.logits)


def test_a_function_edits_in_place_or_returns(model):
    site = "blocks.2.attn.hook_z"
    wanted = model.run(TEXT, edits=Edit.scale(site, 0.5, heads=[1])).logits
    seen = []

    def in_place(values, place):
        seen.append((place.name, place.layer, place.sequence, place.positions, values.shape))
        values *= np.float32(0.5)

    assert np.array_equal(model.run(TEXT, edits=Edit.function(site, in_place, heads=[1])).logits, wanted)
    assert seen == [(site, 2, 0, [0, 1, 2, 3, 4], (5, 1, model.config.head_width))]
    returned = Edit.function(site, lambda values, place: values * np.float32(0.5), heads=[1])
    assert np.array_equal(model.run(TEXT, edits=returned).logits, wanted)


@pytest.mark.parametrize(
    "site, shape",
    [
        ("blocks.0.hook_resid_pre", lambda c: (5, c.width)),
        ("blocks.0.attn.hook_q", lambda c: (5, c.heads, c.head_width)),
        ("blocks.0.attn.hook_pattern", lambda c: (c.heads, 5, 5)),
        ("blocks.0.mlp.hook_post", lambda c: (5, c.inner)),
        ("logits", lambda c: (5, c.vocab)),
    ],
)
def test_a_function_sees_the_shape_of_a_capture(model, site, shape):
    seen = []
    observe = Edit.function(site, lambda values, place: seen.append(values.copy()))
    run = model.run(TEXT, edits=observe)
    assert seen[0].shape == shape(model.config)
    assert np.array_equal(seen[0], model.run(TEXT, capture=site)[site])
    assert np.array_equal(run.logits, model.run(TEXT).logits)


def test_what_a_function_raises_comes_through(model):
    def fails(values, place):
        raise ZeroDivisionError(place.name)

    with pytest.raises(ZeroDivisionError, match="blocks.1.hook_mlp_out"):
        model.run(TEXT, edits=Edit.function("blocks.1.hook_mlp_out", fails))
    assert model.run(TEXT).logits.shape[0] == 5

    wrong = Edit.function("blocks.1.hook_mlp_out", lambda values, place: values[:1])
    with pytest.raises(Error, match=r"shape \(1, .*expected \(5, "):
        model.run(TEXT, edits=wrong)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m: m.run(TEXT, capture="blocks.*.hook_rsid_post"), "hook_resid_post"),
        (lambda m: m.run(TEXT, capture="blocks.9.hook_resid_post"), "blocks"),
        (lambda m: m.run(TEXT, edits=Edit.add("blocks.0.hook_resid_pre", [1, 2, 3])), "3"),
        (lambda m: Edit.scale("blocks.0.hook_resid_pre", float("nan")), "nan"),
        (lambda m: m.run([]), "empty|token"),
        (lambda m: m.run([10**6]), "1000000"),
        (lambda m: m.run([2**40]), "32 bits"),
        (lambda m: m.run(TEXT, logits="some"), "'all', 'last' or 'none'"),
        (lambda m: m.run(TEXT)["blocks.0.hook_resid_pre"], "captured"),
        (lambda m: vitrine.Model.load("no/such/model"), "no/such/model"),
        (lambda m: vitrine.Model.load("demo", dtype="f8"), "f8"),
        (lambda m: vitrine.Model.load("demo", device="tpu"), "tpu"),
    ],
)
def test_a_refusal_is_one_line_that_names_the_value(model, call, words):
    with pytest.raises(Error, match=words) as raised:
        call(model)
    assert raised.value.kind == "user"
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.run(TEXT, capture=3),
        lambda m: m.run(TEXT, edits="blocks.0.hook_resid_pre"),
        lambda m: m.run(TEXT, edits=[None]),
        lambda m: m.run(3),
        lambda m: m.run(None),
        lambda m: m.run(TEXT, captures="blocks.0.hook_resid_pre"),
        lambda m: m.run([[0.5]]),
    ],
)
def test_a_wrong_type_is_a_type_error(model, call):
    with pytest.raises(TypeError):
        call(model)


def test_a_plan_serves_many_passes(model):
    site = "blocks.1.hook_resid_post"
    plan = model.compile(capture=site, edits=Edit.scale("blocks.0.hook_mlp_out", 2.0))
    direct = model.run(TEXT, capture=site, edits=Edit.scale("blocks.0.hook_mlp_out", 2.0))
    assert np.array_equal(model.run(TEXT, plan=plan)[site], direct[site])
    described = plan.describe([5, 2])
    assert [d["name"] for d in described] == [site]
    assert described[0]["shapes"] == [(5, model.config.width), (2, model.config.width)]
    assert described[0]["bytes"] == 7 * model.config.width * 4
    with pytest.raises(Error, match="plan"):
        model.run(TEXT, plan=plan, capture=site)


def test_a_session_gives_the_bits_of_one_pass(model, ids):
    whole = model.run(ids).logits
    session = model.session()
    parts = [session.run(ids[:2]).logits, session.run(ids[2:]).logits]
    assert np.array_equal(np.concatenate(parts), whole)
    assert session.length() == 5
    forked = session.fork(copies=2)
    session.truncate(2)
    assert session.length() == 2 and forked.length(1) == 5
    assert np.array_equal(session.run(ids[2:]).logits, whole[2:])
    resid = model.run(ids, capture="blocks.3.hook_resid_pre")["blocks.3.hook_resid_pre"]
    assert np.array_equal(model.session().run_from(3, [resid])[0].logits, whole)


def test_a_pass_from_a_block_gives_the_bits_of_the_whole_pass(model, ids):
    sites = ["blocks.3.hook_resid_pre", "blocks.3.attn.hook_pattern", "ln_final.hook_normalized"]
    runs = model.run([ids, ids[:2]], capture=sites)
    rows = [run["blocks.3.hook_resid_pre"] for run in runs]
    found = model.run_from(3, rows, capture=sites)
    for run, expected in zip(found, runs):
        assert np.array_equal(run.logits, expected.logits)
        assert all(np.array_equal(run[site], expected[site]) for site in sites)
    no_logits = model.run_from(3, rows, capture=sites[:2], logits="none")
    assert np.array_equal(no_logits[0][sites[1]], runs[0][sites[1]])
    with pytest.raises(vitrine.Error, match="resumed at block 3 does not reach 'blocks.2.hook_mlp_out'"):
        model.run_from(3, rows, edits=vitrine.Edit.zero("blocks.2.hook_mlp_out"))


def test_generation_is_the_argmax_of_each_step(model, ids):
    generation = model.generate(TEXT, 6, stop=[])
    text = list(ids)
    for _ in range(6):
        text.append(int(model.run(text, logits="last").logits.argmax()))
    assert generation.ids == text[5:]
    assert generation.reason == "length"
    assert generation.text == model.tokenizer.decode(text)[len(TEXT) :]
    assert generation.prompt_ids == ids


def test_generation_stops_streams_and_captures(model, ids):
    full = model.generate(TEXT, 8, stop=[])
    stopped = model.generate(TEXT, 8, stop=[full.ids[2]])
    assert stopped.reason == "stop" and stopped.ids == full.ids[: full.ids.index(full.ids[2]) + 1]
    assert "".join(vitrine.stream(model, TEXT, 8, stop=[])) == full.text
    iterator = vitrine.stream(model, TEXT, 200, stop=[])
    assert full.text.startswith(next(iterator))
    iterator.close()
    with pytest.raises(Error):
        list(vitrine.stream(model, TEXT, 8, temperature=-1.0))
    seen = []
    ended = model.generate(TEXT, 8, stop=[], on_token=lambda s, t: seen.append(t) or len(seen) < 3)
    assert ended.reason == "callback" and seen == full.ids[:3]
    site = "blocks.5.hook_resid_post"
    captured = model.generate(TEXT, 3, stop=[], capture=site)
    assert captured[site].shape == (5 + 2, model.config.width)
    several = model.generate([TEXT, "The key"], 4, temperature=1.0, seed=7, stop=[])
    alone = model.generate("The key", 4, temperature=1.0, seed=8, stop=[])
    assert several[1].ids == alone.ids


def test_penalties_beams_and_choices(model, ids):
    free = model.generate(TEXT, 12, stop=[])
    punished = model.generate(TEXT, 12, stop=[], repetition_penalty=1e6)
    assert len({*punished.ids, *ids}) == 12 + len({*ids})
    assert model.generate(TEXT, 4, stop=[], bad_words=[[free.ids[0]]]).ids[0] != free.ids[0]
    kept = model.generate(TEXT, 3, stop=[], log_probabilities=2)
    log_p = log_softmax(model.run([*ids, *kept.ids]).logits)[4:7]
    assert np.allclose(kept.log_probabilities, log_p[range(3), kept.ids], atol=1e-4)
    assert kept.top_ids.shape == (3, 2) and np.array_equal(kept.top_ids[:, 0], log_p.argmax(-1))
    beams = model.beam_search(TEXT, 3, beams=3, results=2, stop=[])
    assert beams[0].score >= beams[1].score
    assert beams[0].score * 3 >= kept.log_probabilities.sum() - 1e-4
    scores = model.score_choices(TEXT, [" are", " is"])
    words = [model.tokenizer.single_token(word) for word in (" are", " is")]
    assert [s["log_probability"] for s in scores] == pytest.approx(log_p[0, words], abs=1e-4)
    with pytest.raises(TypeError, match="top_q"):
        model.generate(TEXT, 3, top_q=1)
    with pytest.raises(TypeError, match="temperature"):
        model.beam_search(TEXT, 3, temperature=1.0)


def test_unembed_is_the_softmax_of_the_logits(model):
    run = model.run(TEXT, capture="blocks.5.hook_resid_post")
    found = model.unembed(run["blocks.5.hook_resid_post"], top_k=3, watch=[" is", " are"], targets=[5] * 5)
    log_p = log_softmax(run.logits)
    assert np.array_equal(found["top_ids"], np.argsort(-run.logits, -1, kind="stable")[:, :3])
    assert np.allclose(found["entropy"], -(np.exp(log_p) * log_p).sum(-1), atol=1e-4)
    watch = [model.tokenizer.single_token(" is"), model.tokenizer.single_token(" are")]
    assert np.array_equal(found["watch_logits"], run.logits[:, watch])
    ranks = 1 + (run.logits > run.logits[:, 5:6]).sum(-1)
    assert np.array_equal(found["target_ranks"], ranks)


def test_threads_run_passes_side_by_side(model):
    wanted = model.run(TEXT).logits
    found = [None] * 4

    def work(i):
        found[i] = model.run(TEXT).logits

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(logits, wanted) for logits in found)


def test_passes_after_a_fork(model):
    wanted = model.run(TEXT).logits.tobytes()
    child = os.fork()
    if child == 0:
        os._exit(0 if model.run(TEXT).logits.tobytes() == wanted else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_random_model_needs_no_tokenizer():
    config = vitrine.Config(layers=2, heads=2, width=16, vocab=50, context=32)
    model = vitrine.Model.random(config, seed=3)
    assert model.config.inner == 64
    assert np.array_equal(model.run([1, 2, 3]).logits, vitrine.Model.random(config, seed=3).run([1, 2, 3]).logits)
    assert not np.array_equal(model.run([1, 2, 3]).logits, vitrine.Model.random(config, seed=4).run([1, 2, 3]).logits)
    with pytest.raises(Error, match="tokenizer"):
        model.run("text")
    with pytest.raises(Error, match="tokenizer"):
        _ = model.tokenizer
