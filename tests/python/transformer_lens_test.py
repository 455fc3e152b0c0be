# SPDX-License-Identifier: MIT
"""The drop-in for TransformerLens gives what TransformerLens gives.

Expected values are TransformerLens 3.9's own, made by tools/make_transformer_lens_goldens.py from the same calls.
"""

import gc
import json
import os
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import transformer_lens_cases as cases  # noqa: E402

from vitrine import Error  # noqa: E402
from vitrine.transformer_lens import HookedTransformer, HookedTransformerConfig, TransformerLensKeyValueCache  # noqa: E402

IDS = torch.tensor(cases.IDS)


@pytest.fixture(scope="module")
def golden():
    return np.load(Path(__file__).parent / "goldens" / "transformer_lens.npz")


@pytest.fixture(scope="module")
def models():
    found = {}
    for kind, flags in cases.KINDS.items():
        found[kind] = HookedTransformer(cases.config())
        found[kind].load_and_process_state_dict(cases.state(), **flags)
    return found


@pytest.fixture(scope="module")
def demo():
    return HookedTransformer.from_pretrained("demo")


def seen_again(function):
    """A function of an activation, and whether it was called."""
    calls = []

    def hook(values, hook):
        calls.append(hook.name)
        return function(values)

    return hook, calls


@pytest.mark.parametrize("kind", cases.KINDS)
def test_all_values_are_those_of_transformer_lens(models, golden, kind):
    found = cases.all_cases(models[kind], TransformerLensKeyValueCache, True)
    expected = {name.removeprefix(f"{kind} "): values for name, values in golden.items() if name.startswith(kind)}
    assert json.loads(str(expected.pop("names"))) == list(models[kind].hook_dict)
    assert list(found) == list(expected)
    for name, values in found.items():
        values, wanted = values.detach().numpy(), expected[name]
        assert values.dtype == wanted.dtype and values.shape == wanted.shape, name
        finite = np.isfinite(wanted)
        assert np.array_equal(np.isfinite(values), finite), name
        spread = np.ptp(wanted[finite]) if wanted.size > 1 else abs(float(wanted))
        assert np.abs(values[finite] - wanted[finite]).max() <= 1e-5 * max(spread, 1e-3), name


def test_tokens_are_those_of_transformer_lens(demo, golden):
    for name, ids in cases.tokens(demo).items():
        assert ids.dtype == torch.int64 and np.array_equal(ids.numpy(), golden[name]), name
    assert demo.to_str_tokens(cases.TEXTS) == json.loads(str(golden["str tokens"]))
    ids = demo.to_tokens(cases.TEXTS[0])
    assert demo.to_string(ids) == ["<|endoftext|>" + cases.TEXTS[0]] and demo.to_string(ids[0, 1:]) == cases.TEXTS[0]
    assert demo.to_single_str_token(demo.to_single_token(" keys")) == " keys"
    with pytest.raises(AssertionError, match="is not a single token"):
        demo.to_single_token(" keys to")


def test_processing_keeps_probabilities_of_a_checkpoint(demo, model):
    ids = model.tokenizer.encode(cases.TEXTS[0])
    raw = HookedTransformer.from_pretrained_no_processing("demo")
    expected = torch.from_numpy(model.run(ids).logits.copy())
    assert torch.allclose(raw(torch.tensor(ids))[0], expected, atol=1e-4)
    centred = demo(torch.tensor(ids))[0].detach()
    assert torch.allclose(centred.log_softmax(-1), expected.log_softmax(-1), atol=1e-4)
    assert torch.allclose(centred.mean(-1), torch.zeros(len(ids)), atol=1e-4)


def test_padded_texts_are_those_alone(demo):
    with torch.no_grad():
        alone = [demo(text)[0, -1] for text in cases.TEXTS]
        batch = demo(cases.TEXTS, padding_side="left")[:, -1]
    assert torch.allclose(torch.stack(alone), batch, atol=1e-4)


def test_what_nothing_wants_is_not_computed(demo):
    with torch.no_grad():
        _, cache = demo.run_with_cache("a b", names_filter="blocks.2.hook_resid_post", return_type=None)
    assert list(cache.keys()) == ["blocks.2.hook_resid_post"]
    hook, calls = seen_again(lambda values: values)
    demo.run_with_hooks("a b", fwd_hooks=[(lambda name: name.endswith("resid_post"), hook)], stop_at_layer=2)
    assert calls == ["blocks.0.hook_resid_post", "blocks.1.hook_resid_post"]


def test_hooks_last_as_long_as_they_should(models):
    model = models["raw"]
    hook, calls = seen_again(lambda values: values * 2)
    model.add_hook("hook_embed", hook)
    model.add_perma_hook("hook_embed", hook)
    with model.hooks([("hook_embed", hook)]):
        model(IDS)
    assert len(calls) == 3
    model(IDS)
    assert len(calls) == 5
    model.reset_hooks()
    model(IDS)
    assert len(calls) == 6
    model.reset_hooks(including_permanent=True)
    with pytest.raises(ZeroDivisionError), model.hooks([("hook_embed", lambda values, hook: 1 / 0)]):
        model(IDS)
    assert not model.list_hooks()


def test_a_changed_weight_is_refused_or_taken(models):
    model = HookedTransformer(cases.config())
    model.load_state_dict(models["raw"].state_dict())
    model.W_O[1] = 0
    with pytest.raises(Error, match="a weight was changed in place"):
        model(IDS)
    model.load_state_dict(model.state_dict())
    without = models["raw"].run_with_hooks(IDS, fwd_hooks=[("blocks.1.attn.hook_z", lambda values, hook: values * 0)])
    assert torch.allclose(model(IDS), without, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: model.run_with_hooks(IDS, fwd_hooks=[("blocks.9.hook_z", print)]), "unknown hook point"),
        (
            lambda model: model.run_with_hooks(IDS, fwd_hooks=[("hook_embed", lambda x, hook: x[:1])]),
            "returned a tensor",
        ),
        (
            lambda model: model.run_with_hooks(
                IDS, fwd_hooks=[("blocks.0.attn.hook_pattern", lambda x, hook: torch.ones_like(x))]
            ),
            "lets tokens attend to later ones",
        ),
        (lambda model: model.blocks[0].mlp(IDS), "does not run alone"),
        (lambda model: setattr(model.blocks[0].attn, "W_Q", IDS), "is a constant of the engine"),
        (lambda model: setattr(model.cfg, "use_hook_tokens", True), "use_hook_tokens"),
        (lambda model: model(IDS, return_type="logit"), "invalid return_type"),
        (lambda model: HookedTransformer.from_pretrained("demo", n_devices=2), "n_devices=2"),
        (lambda model: HookedTransformer.from_pretrained("demo", revision="x"), "unknown arguments"),
        (lambda model: HookedTransformerConfig.from_dict(cases.config() | {"rotary_dim": 2}), "rotary_dim"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(models, call, words):
    with pytest.raises(Error, match=words):
        call(models["raw"])


def test_models_and_passes_are_freed_without_the_collector():
    def used():
        model = HookedTransformer(cases.config())
        kept = []
        logits = model.run_with_hooks(IDS, fwd_hooks=[("blocks.0.hook_resid_post", lambda x, hook: kept.append(x))])
        logits.sum().backward()
        return [weakref.ref(model), weakref.ref(kept[0])]

    gc.collect()
    gc.disable()
    try:
        assert [reference() for reference in used()] == [None, None]
    finally:
        gc.enable()


def test_a_graph_that_lives_until_the_end_leaks_nothing():
    code = (
        "import torch\nfrom vitrine.transformer_lens import HookedTransformer\n"
        f"model = HookedTransformer({cases.config()!r})\n"
        "loss = model(torch.tensor([[1, 2, 3]]), return_type='loss')\nloss.backward()\n"
    )
    # nanobind reports what it still has at the end.
    environment = {**os.environ, "VITRINE_LEAKS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stderr == ""


def test_without_torch_one_line_says_the_native_way():
    code = "import sys; sys.modules['torch'] = None\nimport vitrine.transformer_lens"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("vitrine.error.Error: vitrine.transformer_lens needs torch") and "Model.run" in last
