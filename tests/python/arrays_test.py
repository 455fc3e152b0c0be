# SPDX-License-Identifier: MIT
"""Arrays in and out, copies, pickle, and what a prompt may be."""

import copy
import gc
import pickle
import re

import numpy as np
import pytest
from conftest import TEXT

import vitrine
from vitrine import Capture, Edit, Error, Target

SITE = "blocks.2.hook_resid_post"


def test_dlpack_shares_the_runs_memory(model):
    run = model.run(TEXT, capture=SITE)
    array = run[SITE]
    shared = np.from_dlpack(run.captures.dlpack(SITE))
    assert np.shares_memory(array, shared)
    again = np.from_dlpack(array)
    assert np.shares_memory(array, again) and not again.flags.writeable
    assert memoryview(array).readonly and np.asarray(array) is array
    kept, where = array.copy(), shared.__array_interface__["data"][0]
    del run, array, again
    gc.collect()
    model.run([5] * 40, capture="blocks.*.hook_*")
    assert np.array_equal(shared, kept) and shared.__array_interface__["data"][0] == where


def test_every_array_is_read_only_and_owns_its_memory(model):
    def arrays():
        run = model.run(TEXT, capture=["blocks.0.attn.hook_pattern", SITE])
        batch = model.run([TEXT, "The key"], capture=SITE)
        gradients = model.gradients(TEXT, Target.logit(5), wrt=SITE)
        generation = model.generate(TEXT, 3, stop=[], log_probabilities=2, capture=SITE)
        return {
            "logits": run.logits,
            "capture": run[SITE],
            "map": run["blocks.0.attn.hook_pattern"],
            "mean": run.captures.mean(SITE),
            "rows": batch.rows(SITE),
            "gradient": gradients[SITE],
            "log_probabilities": generation.log_probabilities,
            "top_ids": generation.top_ids,
            "generated": generation[SITE],
            "embedding": model.embed([1, 2]),
            "unembed": model.unembed(run[SITE], top_k=2)["top_logits"],
            "result": vitrine.lens(model, TEXT)["entropy"],
        }

    found = arrays()
    kept = {name: array.copy() for name, array in found.items()}
    gc.collect()
    arrays()
    for name, array in found.items():
        assert not array.flags.writeable, name
        with pytest.raises(ValueError):
            array[...] = 0
        assert np.array_equal(array, kept[name]), name


def test_operands_of_any_number_type(model):
    base = model.run(TEXT, capture=SITE)[SITE]
    direction = np.arange(model.config.width) % 3
    for values in (
        direction,
        direction.astype(np.float64),
        direction.astype(np.float16),
        direction.astype(np.uint8),
        direction.tolist(),
        direction[::-1][::-1],
    ):
        edited = model.run(TEXT, capture=SITE, edits=Edit.add(SITE, values))[SITE]
        assert np.array_equal(edited, base + direction.astype(np.float32))
    assert np.array_equal(model.run(TEXT, capture=SITE, edits=Edit.scale(SITE, np.float32(0.5)))[SITE], base * 0.5)
    for wrong in ("text", None, [1j], [[1, 2], [3]], np.array(["a"]), object()):
        with pytest.raises(TypeError, match="^invalid values: expected an array of numbers, not "):
            Edit.add(SITE, wrong)
    with pytest.raises(TypeError, match="invalid factor: expected float, not str"):
        Edit.scale(SITE, "2")


def test_torch_tensors_are_operands(model):
    torch = pytest.importorskip("torch")
    base = model.run(TEXT, capture=SITE)[SITE]
    row = torch.arange(model.config.width) % 5
    for values in (row, row.double().requires_grad_(), row.bfloat16(), row.flip(0).flip(0).half()):
        edited = model.run(TEXT, capture=SITE, edits=Edit.add(SITE, values))[SITE]
        assert np.array_equal(edited, base + row.float().numpy())
    shared = torch.from_dlpack(model.run(TEXT, capture=SITE).captures.dlpack(SITE))
    assert np.array_equal(shared.numpy(), base)
    ids = torch.tensor(model.encode(TEXT))
    assert np.array_equal(model.run(ids).logits, model.run(TEXT).logits)


def test_prompts_of_every_kind(model, ids):
    wanted = model.run(TEXT).logits
    batches = [(TEXT,), iter([TEXT]), (text for text in [TEXT]), [np.array(ids)], np.array([ids]), map(tuple, [ids])]
    for batch in batches:
        found = model.run(batch)
        assert len(found) == 1 and np.array_equal(found[0].logits, wanted)
    assert np.array_equal(model.run([np.int64(i) for i in ids]).logits, wanted)
    assert np.array_equal(model.run(range(3)).logits, model.run([0, 1, 2]).logits)
    assert np.array_equal(
        vitrine.heads(model, (t for t in [TEXT]), repetition=False)["entropy"],
        vitrine.heads(model, [TEXT], repetition=False)["entropy"],
    )
    for call in (
        lambda: model.run(i for i in ids),
        lambda: model.run({TEXT: 1}),
        lambda: model.run(b"The keys"),
        lambda: model.run(np.zeros(3)),
        lambda: model.run([True]),
    ):
        with pytest.raises(TypeError):
            call()
    for empty in ("", [], [[]], np.array([], np.int64)):
        with pytest.raises(Error):
            model.run(empty)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m: vitrine.lens(m, TEXT, top_k="5"), "invalid top_k: expected int, not str"),
        (lambda m: vitrine.lens(m, TEXT, top_k=1.5), "invalid top_k: expected int, not float"),
        (lambda m: vitrine.lens(m, TEXT, kl=1), "invalid kl: expected bool, not int"),
        (lambda m: vitrine.lens(m, TEXT, mode=None), "invalid mode: expected str, not NoneType"),
        (lambda m: vitrine.lens(None, TEXT), "invalid model: expected Model, not NoneType"),
        (lambda m: vitrine.lens(m, TEXT, topk=5), r"lens\(\) got an unexpected keyword argument 'topk'"),
        (lambda m: vitrine.lens(m), r"lens\(\) is missing the argument 'prompt'"),
        (lambda m: vitrine.lens(m, TEXT, "ecco"), r"lens\(\) takes 2 positional arguments, not 3"),
        (lambda m: vitrine.lens(m, TEXT, prompt=TEXT), r"lens\(\) got 'prompt' twice"),
        (lambda m: vitrine.patch(m, TEXT, TEXT), r"patch\(\) is missing the argument 'answer'"),
        (lambda m: m.generate(TEXT, max_new="3"), "unexpected keyword argument 'max_new'"),
        (lambda m: m.generate(None), "NoneType"),
        (lambda m: vitrine.noise(m, TEXT, kinds="spans"), "invalid kinds: expected a sequence of str"),
    ],
)
def test_a_wrong_argument_is_named(model, call, words):
    with pytest.raises(TypeError, match=words) as raised:
        call(model)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m: m.generate(TEXT, 2**40), "max_new_tokens 1099511627776: expected an integer of 32 bits"),
        (lambda m: vitrine.noise(m, TEXT, seed=-1), "seed -1: expected an integer of 64 bits, not negative"),
    ],
)
def test_a_number_that_does_not_fit_is_named(model, call, words):
    with pytest.raises(Error, match=words):
        call(model)
    assert vitrine.noise(model, TEXT, seed=2**64 - 1, repetitions=1, kinds=["spans"]).to_dict()


def test_copies_pickles_and_equality(model):
    run = model.run(TEXT, capture=SITE)
    things = [
        model,
        model.tokenizer,
        run,
        run.captures,
        model.run([TEXT]),
        Edit.zero(SITE),
        Capture(SITE),
        Target.entropy(),
        model.compile(),
        vitrine.lens(model, TEXT),
        model.generate(TEXT, 1),
        model.gradients(TEXT, Target.entropy(), wrt=SITE),
    ]
    for thing in things:
        assert copy.copy(thing) is thing and copy.deepcopy({"x": thing})["x"] is thing
        with pytest.raises(TypeError, match=f"^{type(thing).__name__} cannot be pickled: "):
            pickle.dumps(thing)
        assert re.fullmatch(r"<vitrine\.\w+\W.+>", repr(thing)), repr(thing)
    config = vitrine.Config(layers=1, heads=2, width=8, vocab=5, context=4)
    for again in (pickle.loads(pickle.dumps(config)), copy.copy(config), copy.deepcopy(config), eval(repr(config))):
        assert again == config and hash(again) == hash(config) and again is not None
    assert config != vitrine.Config(layers=2, heads=2, width=8, vocab=5, context=4)
    assert config != 3 and pickle.loads(pickle.dumps(model.config)) == model.config


def test_captures_are_a_mapping(model):
    captures = model.run(TEXT, capture=["hook_embed", SITE]).captures
    assert list(captures) == captures.keys() == [name for name, _ in captures.items()]
    assert all(np.shares_memory(a, captures[n]) for a, n in zip(captures.values(), captures))
