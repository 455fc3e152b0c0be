# SPDX-License-Identifier: MIT
"""What the command line makes, made from Python: files of hooks, checkpoints, pairs, corpora."""

import json

import numpy as np
import pytest
from analyses_test import PAIR, command
from conftest import TEXT

import vitrine
from vitrine import Capture, Edit, Error

SITE = "blocks.2.hook_resid_post"
PAIRS = [
    {"clean": PAIR[0], "corrupt": PAIR[1], "answer": " are", "wrong": " is"},
    {"clean": PAIR[1], "corrupt": PAIR[0], "answer": " is", "wrong": " are"},
]


@pytest.fixture()
def pairs_file(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    return path


def test_edits_of_the_prompt_or_of_new_tokens(model, ids):
    def generated(edit):
        return model.generate(TEXT, 4, stop=[], edits=edit).ids

    zero = {"sites": "blocks.*.hook_mlp_out"}
    whole = generated(Edit.zero(**zero))
    prompt = generated(Edit.zero(**zero, tokens="prompt"))
    new = generated(Edit.zero(**zero, tokens="generated"))
    assert prompt[0] == whole[0]  # the prompt alone decides the first token
    assert new[0] == model.generate(TEXT, 1, stop=[]).ids[0] != prompt[0]
    assert generated([Edit.zero(**zero, tokens=t) for t in ("prompt", "generated")]) == whole
    with pytest.raises(Error, match="generat"):
        model.run(TEXT, edits=Edit.zero(**zero, tokens="generated"))
    with pytest.raises(Error, match="'prompt', 'generated'"):
        Edit.zero(**zero, tokens="new")


def test_hooks_of_a_file_are_those_that_were_saved(model, tmp_path):
    path = tmp_path / "hooks.json"
    direction = np.linspace(-1, 1, model.config.width, dtype=np.float32)
    edits = [
        Edit.add(SITE, direction, positions=slice(1, -1)),
        Edit.scale("blocks.*.attn.hook_z", 0.3, heads=[1], layers=range(1, 3)),
        Edit.replace("blocks.4.hook_mlp_out", 0.25),
        Edit.zero("blocks.0.mlp.hook_post", neurons=[3, 5]),
    ]
    capture = Capture("blocks.*.hook_resid_post", positions=-1)
    vitrine.save_hooks(path, capture=capture, edits=edits, seed=7)
    loaded = vitrine.load_hooks(path)
    assert loaded.seed == 7 and loaded.gradients == []
    before = model.run(TEXT, capture=capture, edits=edits)
    after = model.run(TEXT, capture=loaded.captures, edits=loaded.edits)
    assert before.captures.keys() == after.captures.keys()
    assert np.array_equal(before.logits, after.logits)
    printed = command("score", "--prompt", TEXT, "--edit", "blocks.1.hook_mlp_out=zero", "--save-hooks", str(path))
    mine = vitrine.score(model, TEXT, edits=vitrine.load_hooks(path).edits).to_dict()
    assert printed["results"][0]["tokens"] == mine["tokens"]
    for edit, what in [
        (Edit.function(SITE, lambda values, place: None), "function"),
        (Edit.replace_from(SITE, before.captures), "another run"),
        (Edit.zero(SITE).straight_through(), "straight-through"),
    ]:
        with pytest.raises(Error, match=what):
            vitrine.save_hooks(path, edits=edit)
    with pytest.raises(Error, match="one type"):
        vitrine.save_hooks(path, capture=["hook_embed", Capture(SITE, store="f16")])


def test_a_converted_checkpoint_has_the_same_bits(model, tmp_path):
    reports = []
    made = vitrine.convert("demo", tmp_path / "demo", progress=lambda *r: reports.append(r))
    assert made["bytes"] == reports[-1][0] > 0 and "model.safetensors" in made["files"]
    converted = vitrine.Model.load(tmp_path / "demo")
    assert np.array_equal(converted.run(TEXT).logits, model.run(TEXT).logits)
    with pytest.raises(Error, match="force"):
        vitrine.convert("demo", tmp_path / "demo")
    half = vitrine.convert("demo", tmp_path / "half.safetensors", dtype="f16")
    assert half["dtype"] == "f16" and half["files"] == ["half.safetensors"]


def test_a_random_checkpoint_is_its_seed(tmp_path):
    config = vitrine.Config(layers=1, heads=2, width=16, vocab=50, context=32)
    logits = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        vitrine.write_random_checkpoint(tmp_path / name, config, seed=seed)
        logits.append(vitrine.Model.load(tmp_path / name).run([1, 2, 3]).logits)
    assert np.array_equal(logits[0], logits[1]) and not np.array_equal(logits[0], logits[2])


def test_pairs_are_means_of_single_runs(model, pairs_file):
    options = {"sites": "attn.hook_z", "over": "heads", "layers": [1, 2]}
    each = [
        vitrine.patch(model, p["clean"], p["corrupt"], answer=p["answer"], wrong=p["wrong"], **options) for p in PAIRS
    ]
    both = vitrine.patch_pairs(model, PAIRS, **options)
    effects = [result["effect"] for result in each]
    mean = both["effect_mean"]
    assert np.allclose(mean, np.mean(effects, axis=0), atol=1e-12)
    assert both.to_dict() == vitrine.patch_pairs(model, pairs_file, **options).to_dict()
    assert vitrine.path_patch_pairs(model, (p for p in PAIRS), senders=["mlp 0"]).to_dict()


def test_the_command_says_the_same_of_pairs(model, pairs_file):
    for arguments, call in [
        (["patch", "--pairs", str(pairs_file)], vitrine.patch_pairs),
        (["attribute", "--pairs", str(pairs_file)], vitrine.attribute_pairs),
    ]:
        printed = command(*arguments)
        expected = printed["results"][0] if "results" in printed else printed
        for name, value in call(model, pairs_file).to_dict().items():
            assert expected[name] == value, name
    with pytest.raises(Error, match=r"pairs\[0\].*clean"):
        vitrine.patch_pairs(model, [{"corrupt": TEXT}])
    with pytest.raises(Error, match="answr"):
        vitrine.attribute_pairs(model, [{"clean": TEXT, "answr": " is"}])
    with pytest.raises(TypeError, match="path or a sequence of dict"):
        vitrine.patch_pairs(model, [PAIR])


def test_contrast_texts_and_training_windows(model, ids):
    printed = command("saliency", "--prompt", TEXT, "--continuation", " are", "--contrast-text", " is")
    found = vitrine.saliency(model, TEXT, continuation=" are", contrast_text=" is").to_dict()
    for name, value in found.items():
        assert printed["results"][0][name] == value, name
    windows = vitrine.windows(model, TEXT, 3, 1)
    inputs, targets = (windows[name] for name in ("inputs", "targets"))
    assert inputs.tolist() == [ids[0:3], ids[1:4]] and targets.tolist() == [ids[1:4], ids[2:5]]


def test_shards_are_those_of_the_command(model, tmp_path):
    text = tmp_path / "texts.txt"
    text.write_text("The keys to the cabinet\n\nThe key is on the table\n")
    options = ["--capture", SITE, "--split", "paragraph", "--window", "4"]
    command("corpus", str(text), *options, "--out", str(tmp_path / "command"))
    estimate = vitrine.capture_corpus(
        model, text, tmp_path / "python", capture=SITE, split="paragraph", window=4, dry_run=True
    )
    assert not (tmp_path / "python").exists()
    made = vitrine.capture_corpus(model, text, tmp_path / "python", capture=SITE, split="paragraph", window=4)
    assert estimate["tokens"] == made["tokens"] and estimate["shards"] == made["shards"]
    assert made["complete"] and made["documents"] == 2 and made["first_skipped"] is None
    shards = [sorted((tmp_path / who).rglob("*.safetensors")) for who in ("command", "python")]
    assert [s.read_bytes() for s in shards[0]] == [s.read_bytes() for s in shards[1]] != []
    again = vitrine.capture_corpus(model, [text], tmp_path / "python", capture=SITE, split="paragraph", window=4)
    assert again["resumed_shards"] == made["shards"]
    assert vitrine.check_corpus(tmp_path / "python")["problems"] == []
    shards[1][0].write_bytes(b"")
    assert len(vitrine.check_corpus(tmp_path / "python")["problems"]) == 1
    repaired = vitrine.capture_corpus(
        model, text, tmp_path / "python", capture=SITE, split="paragraph", window=4, repair=True
    )
    assert len(repaired["repaired"]) == 1 and shards[1][0].read_bytes() == shards[0][0].read_bytes()
    with pytest.raises(Error, match="missing.txt"):
        vitrine.capture_corpus(model, tmp_path / "missing.txt", tmp_path / "x", capture=SITE)
    assert not (tmp_path / "x").exists()


def test_captures_in_a_file(model, tmp_path):
    path = tmp_path / "captures.npy"
    made = vitrine.capture_to_file(model, [TEXT, "The key"], path, capture=SITE)
    assert made["prompts"] == 2 and made["shapes"] == {SITE: (7, model.config.width)}
    assert np.array_equal(np.load(path), model.run([TEXT, "The key"], capture=SITE).rows(SITE))


def test_a_fitted_lens_is_read_back(model, tmp_path):
    text = tmp_path / "texts.txt"
    text.write_text("\n".join(f"The keys to the {n} are on the table." for n in ("box", "door") * 10))
    fit = vitrine.fit_lens(model, text, tmp_path / "lens", split="line")
    assert [row["layer"] for row in fit["rows"]] == list(range(model.config.layers))
    found = vitrine.lens(model, TEXT, mode="tuned", translators=tmp_path / "lens")
    last = vitrine.lens(model, TEXT)
    assert np.array_equal(found["top_token"][-1], last["top_token"][-1])


def test_a_model_is_described(model):
    found = vitrine.info("demo")
    assert found["parameters"] == model.config.parameters
    assert found["tokenizer"]["before"] == model.text_frame[0]
    assert found["unread"]["tensors"] == model.unread_tensors
    assert model.tokenizer_file == found["tokenizer"]["file"]
    assert model.load_notes == found["notes"] and model.unread_fields == found["unread"]["fields"]
