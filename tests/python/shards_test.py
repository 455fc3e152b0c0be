# SPDX-License-Identifier: MIT
"""vitrine.shards: the reader of a corpus's shards, and the live source."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXT, interrupted

import vitrine
from vitrine import shards
from vitrine.command import program
from vitrine.shards.stream import Stream

SITE = "blocks.3.hook_resid_post"
TEXTS = [f"{TEXT} is number {i}. " + "The dog that chased the cats. " * (i % 5) for i in range(20)]
WINDOW = 16
MIXED = {"rows": 10, "buffer_rows": 64, "block_rows": 8}


def capture(folder: Path, *options: str, world: int = 2, site: str = SITE) -> Path:
    corpus = folder.parent / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    for rank in range(world):
        command = [program(), "corpus", corpus, "--capture", site, "--window", WINDOW, "--shard-tokens", 60]
        command += ["--rank", rank, "--world", world, "--out", folder, *options]
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return capture(tmp_path_factory.mktemp("corpus") / "acts")


@pytest.fixture
def copy(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "acts")
    return tmp_path / "acts"


@pytest.fixture(scope="module")
def expected(model):
    """Rows of each document, from passes over its windows."""
    found = []
    for text in TEXTS:
        ids = model.encode(text)
        windows = [ids[begin : begin + WINDOW] for begin in range(0, len(ids), WINDOW)]
        found.append(np.concatenate([model.run(window, capture=SITE)[SITE] for window in windows]))
    return found


def in_any_order(rows):
    return rows[np.lexsort(rows.T[:4])]


def test_rows_of_documents_are_those_of_passes(model, folder, expected):
    acts = shards.open(folder, verify=True)
    assert (acts.documents, acts.world, acts.sites, acts.stored(SITE)) == (len(TEXTS), 2, [SITE], "f32")
    assert acts.shape(SITE) == (model.config.width,) and acts.complete
    for index, rows in enumerate(expected):
        assert np.array_equal(acts.document(index, SITE), rows)
        assert acts.ids(index).tolist() == model.encode(TEXTS[index])
        assert acts.positions(index, SITE).tolist() == list(range(len(rows)))
    assert np.array_equal(acts.row(7, 20, SITE), expected[7][20])


@pytest.mark.parametrize("stored,bits", [("f16", 11), ("bf16", 8)])
def test_narrow_types_are_within_half_a_step(tmp_path, expected, stored, bits):
    acts = shards.open(capture(tmp_path / "acts", "--store", stored, world=1))
    rows = acts.document(3, SITE).astype(np.float32)
    assert acts.stored(SITE) == stored
    assert np.all(np.abs(rows - expected[3]) <= np.abs(expected[3]) * 2.0**-bits)
    assert np.abs(rows - expected[3]).max() > 0


def test_selected_positions_have_their_rows(tmp_path, expected):
    acts = shards.open(capture(tmp_path / "acts", "--overlap", "4", world=1, site=f"{SITE}[positions=-1]"))
    assert acts.rows(SITE) == acts.windows
    assert acts.positions(4, SITE)[-1] == len(expected[4]) - 1
    assert np.concatenate(list(acts.batches(SITE, rows=7, drop_last=False))).shape[0] == acts.windows


def test_an_epoch_has_every_row_once(folder, expected):
    acts = shards.open(folder)
    everything = in_any_order(np.concatenate(expected))
    orders = []
    for seed, epochs in ((0, 1), (1, 1), (0, 2)):
        batches = list(acts.batches(SITE, seed=seed, epochs=epochs, drop_last=False, **MIXED))
        rows = np.concatenate(batches[-len(batches) // epochs :])
        assert np.array_equal(in_any_order(rows), everything)
        orders.append(rows)
    assert not np.array_equal(orders[0], orders[1]) and not np.array_equal(orders[0], orders[2])
    again = np.concatenate(list(acts.batches(SITE, seed=0, drop_last=False, prefetch=0, **MIXED)))
    assert np.array_equal(orders[0], again)
    neighbours = (np.abs(np.diff(acts.shard(0)[SITE], axis=0)).sum(1)[:, None] == 0).sum()
    assert neighbours == 0  # the rows differ, so that the order can be seen


def test_without_a_seed_rows_keep_their_order(folder):
    acts = shards.open(folder)
    rows = np.concatenate(list(acts.batches(SITE, seed=None, rows=7, drop_last=False)))
    assert np.array_equal(rows, np.concatenate([acts.shard(i)[SITE] for i in range(acts.shards)]))


def test_ranks_share_the_batches_of_one_order(folder, monkeypatch):
    acts = shards.open(folder)
    alone = list(acts.batches(SITE, rank=0, world=1, **MIXED))
    parts = [acts.batches(SITE, rank=rank, world=3, **MIXED) for rank in range(3)]
    assert {len(part) for part in parts} == {len(alone) // 3}
    for turn, batches in enumerate(zip(*parts)):
        for rank, batch in enumerate(batches):
            assert np.array_equal(batch, alone[3 * turn + rank])
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert np.array_equal(acts.batches(SITE, **MIXED).next_batch(), alone[1])


def test_slurm_counts_in_a_step_alone(monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "2")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert shards.rank_from_environment() == (0, 1)
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    assert shards.rank_from_environment() == (2, 4)
    monkeypatch.setenv("SLURM_PROCID", "4")
    with pytest.raises(vitrine.Error, match="SLURM_PROCID with SLURM_NTASKS is 4 of 4: expected"):
        shards.rank_from_environment()


def test_a_saved_state_goes_on_with_the_next_batch(folder):
    acts = shards.open(folder)
    first = acts.batches(SITE, epochs=2, **MIXED)
    for _ in range(len(first) + 3):
        next(first)
    second = acts.batches(SITE, epochs=2, **MIXED)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    rest = list(first)
    assert len(rest) == len(first) - 3
    assert all(np.array_equal(a, b) for a, b in zip(rest, second, strict=True))
    with pytest.raises(vitrine.Error, match="seed=1"):
        acts.batches(SITE, seed=1, epochs=2, **MIXED).load_state_dict(first.state_dict())


def check_statistics(found, expected):
    rows = np.concatenate(expected).astype(np.float64)
    assert found.rows == len(rows)
    assert np.allclose(found.mean, rows.mean(0), rtol=1e-12)
    assert np.allclose(found.variance, rows.var(0), rtol=1e-9)
    assert found.mean_norm == pytest.approx(np.linalg.norm(rows, axis=1).mean())
    if found.covariance is not None:
        assert np.allclose(found.covariance, np.cov(rows.T, bias=True), rtol=1e-9, atol=1e-12)


def test_statistics_are_numpys(folder, expected):
    check_statistics(shards.open(folder).statistics(SITE, covariance=True), expected)


def test_statistics_beside_the_shards_are_read(tmp_path, expected, monkeypatch):
    acts = shards.open(capture(tmp_path / "acts", "--covariance"))
    monkeypatch.setattr(shards.Store, "gather", None)
    monkeypatch.setattr(shards.Shard, "take", None)
    assert acts.statistics(SITE).covariance is None
    check_statistics(acts.statistics(SITE), expected)
    check_statistics(acts.statistics(SITE, covariance=True), expected)


def test_int8_rows_are_off_by_half_a_step(tmp_path, expected):
    acts = shards.open(capture(tmp_path / "acts", "--store", "int8"))
    assert acts.stored(SITE) == "int8" and acts.sites == [SITE]
    for index, rows in enumerate(expected):
        step = np.abs(rows).max(axis=1, keepdims=True) / 127
        assert (np.abs(acts.document(index, SITE) - rows) <= step * 0.50001).all()
    batch = next(acts.batches(SITE, rows=16, seed=0))
    assert batch.dtype == np.float32 and batch.shape == (16, expected[0].shape[1])


def refused(folder, text, **options):
    with pytest.raises(vitrine.Error, match=text) as error:
        acts = shards.open(folder, **options)
        for index in range(acts.shards):
            acts.shard(index)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": "F32", "shape": [2**47, 2**47, 0], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]},
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]},
        {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]},
        {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": "1", "data_offsets": [0]},
        7,
    ],
)
def test_a_header_cannot_lie(tmp_path, tensor):
    header = json.dumps({"ids": tensor}).encode()
    path = tmp_path / "shard-000000.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(vitrine.Error, match="damaged: the type, shape and place of 'ids' do not agree") as error:
        shards.Shard(path)
    assert "\n" not in str(error.value)


def test_damage_is_named(copy):
    shard = copy / "rank-00001-of-00002" / "shard-000001.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    refused(copy, f"shard-000001.safetensors: has {len(whole) - 1} bytes; the manifest says {len(whole)}")
    refused(copy, "damaged: the type, shape and place of '.*' do not agree with the file", lazy=True)
    shard.write_bytes(b"\xff" * 8 + whole[8:])
    refused(copy, "damaged: its header has")
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    shards.open(copy)
    refused(copy, "shard-000001.safetensors: has the checksum", verify=True)
    shard.unlink()
    refused(copy, "shard-000001.safetensors: is in the manifest, but missing")
    refused(copy, "shard-000001.safetensors: missing", lazy=True)


@pytest.mark.parametrize(
    "change,text",
    [
        (lambda m: m[: len(m) // 2], "damaged: not JSON"),
        (lambda m: m.replace("capture 1", "capture 9"), "damaged: format is 'vitrine corpus capture 9'"),
        (lambda m: m.replace('"windows": ', '"windows": -'), "damaged: windows of shard 0 is -"),
        (lambda m: m.replace("shard-000000", "../../000000"), "damaged: shard 0 has the file"),
        (lambda m: m.replace('"rank": 1', '"rank": 0'), "damaged: rank 0 of 2 is that of another folder"),
        (lambda m: m.replace('"complete": true', '"complete": false'), "incomplete: its run was interrupted"),
        (lambda m: m.replace('"window": 16', '"window": 8'), "belongs to a different run"),
        (lambda m: "[]", "damaged: list indices"),
    ],
)
def test_a_manifest_is_checked(copy, change, text):
    manifest = copy / "rank-00001-of-00002" / "manifest.json"
    changed = change(manifest.read_text())
    assert changed != manifest.read_text()
    manifest.write_text(changed)
    refused(copy, text)


def test_an_incomplete_capture_is_refused_unless_accepted(copy):
    refused(copy / "rank-00000-of-00002", "the folder of one rank")
    shutil.rmtree(copy / "rank-00000-of-00002")
    refused(copy, r"incomplete: rank 0 of 2 is missing \(1 in all\)")
    acts = shards.open(copy, incomplete=True)
    assert not acts.complete and acts.documents == len(TEXTS) // 2
    with pytest.raises(vitrine.Error, match="has no document 0"):
        acts.document(0, SITE)
    refused(copy.parent, "contains no capture")
    refused(copy / "absent", "missing: expected the folder of a capture")


@pytest.mark.parametrize(
    "options,text",
    [
        ({"rows": 0}, "rows is 0"),
        ({"rows": 100000}, "rows make no batch of 100000 rows"),
        ({"rank": 1}, "rank and world belong together"),
        ({"rank": 2, "world": 2}, "rank with world is 2 of 2"),
        ({"seed": -1}, "seed is -1"),
        ({"epochs": 0}, "epochs is 0"),
        ({"prefetch": -1, "rows": 1}, "prefetch is -1"),
    ],
)
def test_invalid_arguments_are_named(folder, options, text):
    with pytest.raises(vitrine.Error, match=text):
        shards.open(folder).batches(SITE, **options)
    with pytest.raises(vitrine.Error, match="has no site 'blocks.4.hook_resid_post': it has blocks.3"):
        shards.open(folder).batches("blocks.4.hook_resid_post")


def test_the_live_source_has_the_rows_of_the_corpus(model, expected):
    options = {"rows": 10, "window": WINDOW, "drop_last": False}
    rows = np.concatenate(list(shards.live(model, TEXTS, SITE, seed=None, **options)))
    assert np.array_equal(rows, np.concatenate(expected))
    mixed = [list(shards.live(model, TEXTS, SITE, buffer_rows=100, prefetch=p, **options)) for p in (0, 3)]
    assert all(np.array_equal(a, b) for a, b in zip(*mixed, strict=True))
    assert np.array_equal(in_any_order(np.concatenate(mixed[0])), in_any_order(rows))
    odd = shards.live(model, TEXTS, [SITE, "blocks.1.hook_mlp_out"], seed=None, rank=1, world=2, **options)
    batches = list(odd)
    assert np.array_equal(np.concatenate([b[SITE] for b in batches]), np.concatenate(expected[1::2]))
    assert all(b["blocks.1.hook_mlp_out"].shape == b[SITE].shape for b in batches)


def test_the_live_source_names_what_is_wrong(model):
    with pytest.raises(vitrine.Error, match="no_such"):
        shards.live(model, TEXTS, "no_such")
    with pytest.raises(vitrine.Error, match="document 1 has no tokens"):
        list(shards.live(model, [TEXT, ""], SITE, rows=2))


def test_a_stream_waits_and_leaves_nothing_out():
    made = []

    def numbers(_):
        for i in range(50):
            made.append(i)
            yield i

    with Stream(numbers, ahead=3) as stream:
        assert next(stream) == 0
        time.sleep(0.1)
        assert len(made) <= 5  # three ready, and one in the hand of the thread
        assert list(stream) == list(range(1, 50))
        assert list(stream) == []


def test_a_stream_passes_an_exception_on_after_the_items_before_it():
    def failing(_):
        yield from (1, 2)
        raise OSError("the disk is gone")

    stream = Stream(failing, ahead=4)
    assert [next(stream), next(stream)] == [1, 2]
    for _ in range(2):
        with pytest.raises(OSError, match="the disk is gone"):
            next(stream)


def test_the_end_of_a_stream_ends_its_thread():
    def endless(_):
        while True:
            yield 0

    def threads():
        return sum(thread.name == "vitrine.shards" for thread in threading.enumerate())

    before = threads()
    with Stream(endless, 2) as stream:
        next(stream)
        assert threads() == before + 1
    assert threads() == before
    stream = Stream(endless, 2)
    next(stream)
    del stream
    assert threads() == before


def test_ctrl_c_passes_through_a_live_source():
    code = (
        "import itertools, vitrine\n"
        "from vitrine import shards\n"
        "model = vitrine.Model.load('demo')\n"
        f"live = shards.live(model, itertools.cycle(['{TEXT}']), '{SITE}', rows=1 << 20, buffer_rows=1 << 21)\n"
        "print('ready', flush=True)\n"
        "try:\n"
        "    next(live)\n"
        "except KeyboardInterrupt:\n"
        "    live.close()\n"
        "    print('interrupted')\n"
    )
    assert interrupted(code) == "interrupted\n"


def test_a_loader_of_torch_has_the_same_batches_with_any_workers(folder):
    torch = pytest.importorskip("torch")
    from torch.utils.data import DataLoader

    acts = shards.open(folder)
    options = {**MIXED, "rows": 11}
    expected = list(acts.batches(SITE, epochs=2, **options))
    assert len(expected) // 2 % 2 == 1  # the second epoch begins with the other worker
    for workers in (0, 2):
        dataset = acts.dataset(SITE, epochs=2, **options)
        loader = DataLoader(dataset, batch_size=None, num_workers=workers)
        found = list(loader)
        assert all(isinstance(batch, torch.Tensor) for batch in found)
        assert all(np.array_equal(a.numpy(), b) for a, b in zip(found, expected, strict=True))
    dataset.set_epoch(1)
    assert np.array_equal(next(iter(dataset)).numpy(), expected[len(expected) // 2])
    assert isinstance(next(acts.batches(SITE, tensors=True, **MIXED)), torch.Tensor)


def test_the_command_writes_the_folder_for_sae_lens(folder, tmp_path):
    def run(*words):
        command = [
            sys.executable,
            "-m",
            "vitrine",
            "corpus",
            folder,
            "--to",
            "sae-lens",
            "--out",
            tmp_path / "a",
            *words,
        ]
        return subprocess.run([str(word) for word in command], capture_output=True, text=True)

    other = run("--capture", "hook_embed")
    assert other.returncode == 2
    assert other.stderr == f"vitrine: {folder} has no site hook_embed: expected one of {SITE}\n"
    done = run("--window", 9, "--json")
    if importlib.util.find_spec("datasets") is None:
        assert done.returncode == 2
        assert done.stderr == "vitrine: the folder of SAELens needs the package datasets: pip install datasets\n"
        return
    found = json.loads(done.stdout)["sae_lens"]
    expected = shards.to_sae_lens(shards.open(folder), tmp_path / "b", site=SITE, context_size=9)
    assert {name: found[name] for name in expected} == expected
    for file in (tmp_path / "b").glob("*.arrow"):
        assert file.read_bytes() == (tmp_path / "a" / file.name).read_bytes()


def test_a_folder_for_sae_lens_has_the_rows(folder, tmp_path):
    datasets = pytest.importorskip("datasets")
    acts = shards.open(folder)
    found = shards.to_sae_lens(acts, tmp_path / "sae", site=SITE, context_size=9)
    assert found["sequences"] * 9 + found["dropped"] == acts.rows(SITE) and found["dropped"] < 9
    table = datasets.load_from_disk(str(tmp_path / "sae")).with_format("numpy")
    rows = np.concatenate([acts.shard(i)[SITE] for i in range(acts.shards)])
    ids = np.concatenate([acts.shard(i)["ids"] for i in range(acts.shards)])
    assert np.array_equal(table[:][SITE].reshape(-1, rows.shape[1]), rows[: found["sequences"] * 9])
    assert np.array_equal(table[:]["token_ids"].reshape(-1), ids[: found["sequences"] * 9])
    with pytest.raises(vitrine.Error, match="exists: expected a new or empty folder"):
        shards.to_sae_lens(acts, tmp_path / "sae", site=SITE, context_size=9)
    assert os.listdir(tmp_path) == ["sae"]
