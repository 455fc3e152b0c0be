# SPDX-License-Identifier: MIT
"""vitrine.ray: parts of a corpus, whoever makes them and however often they begin again."""

import csv
import filecmp
import importlib.util
import json
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import TEXT

import vitrine
import vitrine.ray
from vitrine import shards
from vitrine.command import program
from vitrine.ray import tables
from vitrine.ray.capture import hooks_text

SITE = "blocks.3.hook_resid_post"
TEXTS = [f"{TEXT} is number {i}. " + "The dog that chased the cats. " * (i % 7) for i in range(24)]
PARTS = 4
OPTIONS = {"capture": SITE, "window": 16, "shard_tokens": 64, "batch_tokens": 16}
HAS_RAY = importlib.util.find_spec("ray") is not None


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "corpus.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


@pytest.fixture(scope="module")
def single(corpus):
    """The same parts by the command, one after the other."""
    out = corpus.parent / "single"
    for part in range(PARTS):
        command = [program(), "corpus", corpus, "--out", out, "--rank", part, "--world", PARTS]
        for name, value in OPTIONS.items():
            command += ["--" + name.replace("_", "-"), value]
        subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return out


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != "lock")


def assert_same(one: Path, other: Path) -> None:
    assert files(one) == files(other)
    assert filecmp.cmpfiles(one, other, files(one), shallow=False)[0] == files(one)


def documents(out: Path) -> list[int]:
    """Those that begin in a shard, with repetitions."""
    acts = shards.open(out, verify=True)
    found = []
    for index in range(acts.shards):
        shard = acts.shard(index)
        found += shard["documents"][shard["begins"] == 0].tolist()
    return sorted(found)


def test_parts_have_the_bytes_of_the_command(corpus, single, tmp_path):
    made = vitrine.ray.Capture(corpus, tmp_path, PARTS, **OPTIONS)
    rows = [made({"part": np.array(part)}) for part in ([2, 0], [3], [1], [1])]
    assert_same(single, tmp_path)
    assert set(rows[0]["rank"]) == {0, 2} and rows[0]["rank"].size == rows[0]["xxh64"].size
    assert np.array_equal(rows[2]["xxh64"], rows[3]["xxh64"])
    assert made._model is not None, "loaded once"
    assert documents(tmp_path) == list(range(len(TEXTS)))


def test_parts_go_to_a_file_system_of_pyarrow(corpus, single, tmp_path):
    fs = pytest.importorskip("pyarrow.fs")
    place = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    made = vitrine.ray.Capture(corpus, "bucket/acts", PARTS, filesystem=place, **OPTIONS)
    made({"part": range(PARTS)})
    assert_same(single, tmp_path / "bucket" / "acts")
    manifest = tmp_path / "bucket" / "acts" / "rank-00001-of-00004" / "manifest.json"
    manifest.unlink()  # as an upload leaves it that did not end
    before = {path: (tmp_path / path).stat().st_mtime_ns for path in files(tmp_path)}
    made({"part": range(PARTS)})
    assert_same(single, tmp_path / "bucket" / "acts")
    changed = [path for path in files(tmp_path) if (tmp_path / path).stat().st_mtime_ns != before.get(path)]
    assert changed and all("rank-00001" in path for path in changed)


def test_moments_do_not_depend_on_the_order_of_the_parts(model, corpus, tmp_path):
    options = {"capture": f"{SITE}[neurons=0..15]", "window": 16}
    merged = []
    for order in (range(PARTS), reversed(range(PARTS))):
        out = tmp_path / f"states{len(merged)}"
        made = vitrine.ray.Moments(corpus, out, PARTS, **options)
        for part in order:
            made({"part": [part]})
        merged.append(vitrine.ray.merge_moments(out, PARTS)["results"][0])
    assert merged[0] == merged[1]
    rows = []
    for text in TEXTS:
        ids = model.encode(text)
        rows += [model.run(ids[b : b + 16], capture=SITE)[SITE][:, :16] for b in range(0, len(ids), 16)]
    expected = np.cov(np.concatenate(rows).astype(np.float64).T)
    assert np.allclose(merged[0]["covariance"], expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(vitrine.Error, match="rank"):
        (out / "rank-00002-of-00004.safetensors").unlink()
        vitrine.ray.merge_moments(out, PARTS)


def test_a_command_runs_once_for_each_row(tmp_path):
    inputs = [tmp_path / f"{i}.txt" for i in range(2)]
    for i, path in enumerate(inputs):
        path.write_text(TEXTS[i] + "\n")
    outputs = [str(path.with_suffix(".csv")) for path in inputs]
    made = vitrine.ray.Command(["score", "--prompt-file", "{input}", "--csv", "{output}"])
    batch = {"input": [str(path) for path in inputs], "output": outputs}
    assert made(batch) == batch
    times = [os.stat(path).st_mtime_ns for path in outputs]
    made(batch)
    assert times == [os.stat(path).st_mtime_ns for path in outputs]
    assert Path(outputs[0]).read_text() != Path(outputs[1]).read_text()


def merged_table(arguments, out, parts, **file):
    """As table() does it, with Command called here in place of an actor."""
    rows = tables.split(arguments, out, parts=parts, **{"prompts": None, "pairs": None, **file})
    made = vitrine.ray.Command(tables.command_of(arguments, file.get("prompts")))
    for row in reversed(rows):
        made({"input": [row["input"]], "output": [row["output"]]})
    return rows, tables.merge(rows, out)


@pytest.mark.parametrize("arguments", [["score"], ["lens", "--position", "-1"], ["saliency"]])
def test_a_table_of_prompts_has_the_bytes_of_the_single_run(arguments, tmp_path):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("".join(f'{TEXT}, he said "{i}",\n' for i in range(5)))
    single = [program(), *arguments, "--prompt-file", prompts, "--csv", tmp_path / "single.csv"]
    subprocess.run([str(word) for word in single], check=True, capture_output=True)
    rows, count = merged_table(arguments, tmp_path / "all.csv", 3, prompts=prompts)
    assert [row["lines"] for row in rows] == [2, 2, 1]
    assert (tmp_path / "all.csv").read_bytes() == (tmp_path / "single.csv").read_bytes()
    with (tmp_path / "single.csv").open(newline="") as file:
        assert count == sum(1 for _ in csv.reader(file)) - 1
    with pytest.raises(vitrine.Error, match="holds parts of another call"):
        merged_table([*arguments, "--model", "other"], tmp_path / "all.csv", 3, prompts=prompts)
    prompts.write_text(prompts.read_text().replace("4", "5"))
    with pytest.raises(vitrine.Error, match="part-00002.lines: differs from lines 5 to 5"):
        merged_table(arguments, tmp_path / "all.csv", 3, prompts=prompts)


def test_a_table_of_pairs_has_the_statistics_of_the_single_run(tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    words = ["cabinet", "man", "woman", "dog", "house"]
    clean = [{"clean": f"The keys to the {w}", "corrupt": f"The key to the {w}"} for w in words]
    pairs.write_text("".join(json.dumps({**pair, "answer": " are", "wrong": " is"}) + "\n" for pair in clean))
    arguments = ["patch", "--sweep", "resid_pre", "--layers", "0,3"]
    single = [program(), *arguments, "--pairs", pairs, "--csv", tmp_path / "single.csv"]
    subprocess.run([str(word) for word in single], check=True, capture_output=True)
    merged_table(arguments, tmp_path / "all.csv", 3, pairs=pairs)
    found, expected = ((tmp_path / name).read_text().splitlines() for name in ("all.csv", "single.csv"))
    assert found[0] == expected[0] and len(found) == len(expected)
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert one.split(",")[:3] == other.split(",")[:3]
        one, other = (np.array(line.split(",")[3:], float) for line in (one, other))
        assert np.allclose(one, other, rtol=1e-5, atol=1e-6)


def test_what_is_wrong_is_one_line(corpus, single, tmp_path):
    def refused(text, made, *arguments, **options):
        with pytest.raises(vitrine.Error, match=text) as error:
            made(*arguments, **options)
        assert "\n" not in str(error.value)

    refused("parts is 0", vitrine.ray.Capture, corpus, tmp_path, 0)
    refused("rank is set by vitrine.ray", vitrine.ray.Capture, corpus, tmp_path, 4, rank=1)
    refused(r"no \{output\}", vitrine.ray.Command, ["score", "--prompt-file", "{input}"])
    with pytest.raises(TypeError, match="windw"):
        vitrine.ray.Capture(corpus, tmp_path, 4, capture=SITE, windw=3)({"part": [0]})
    other = {**OPTIONS, "window": 8}
    refused("plan.window is 16 there and 8 here", vitrine.ray.Capture(corpus, single, PARTS, **other), {"part": [1]})
    if not HAS_RAY:
        refused("needs Ray here: pip install", vitrine.ray.capture, corpus, tmp_path, parts=2, actors=1)


def by_command(corpus, *words):
    command = [sys.executable, "-m", "vitrine", "corpus", corpus, "--parts", PARTS, "--actors", 1, "--progress", "none"]
    for name, value in OPTIONS.items():
        command += [] if name == "window" and "--window" in words else ["--" + name.replace("_", "-"), value]
    return subprocess.run([str(word) for word in [*command, *words]], capture_output=True, text=True)


@pytest.mark.skipif(HAS_RAY, reason="ray is there")
def test_the_command_says_what_is_missing(corpus, tmp_path):
    done = by_command(corpus, "--out", tmp_path / "out", "--ray", "auto")
    assert done.returncode == 2
    assert done.stderr == f"vitrine: --ray needs Ray in {sys.executable}: pip install 'ray[data]'\n"
    assert not (tmp_path / "out").exists()


def test_edits_and_sites_reach_other_processes_as_text(corpus, tmp_path):
    options = {**OPTIONS, "capture": vitrine.Capture(SITE, neurons=[0, 5], store="f16")}
    edits = [vitrine.Edit.scale("blocks.1.hook_mlp_out", 0.5)]
    text = hooks_text({"capture": options["capture"], "edits": edits})
    made = {**OPTIONS, "hooks": text}
    del made["capture"]
    vitrine.ray.Capture(corpus, tmp_path / "text", 1, **made)({"part": [0]})
    vitrine.capture_corpus(vitrine.Model.load("demo"), corpus, tmp_path / "single", edits=edits, **options)
    assert_same(tmp_path / "single", tmp_path / "text")


def test_nodes_of_another_version_are_refused(corpus, tmp_path):
    with pytest.raises(vitrine.Error, match="the driver 0.0.1: install the same on all nodes"):
        vitrine.ray.Capture(corpus, tmp_path, 1, version="0.0.1", **OPTIONS)
    request = {"version": "0.0.1", "do": "ray"}
    done = subprocess.run(
        [sys.executable, "-c", "from vitrine.from_command import main; main()"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "the command is vitrine 0.0.1 and the package" in done.stderr


class MortalCapture(vitrine.ray.Capture):
    """Kills its own process within a second, as long as fewer than `deaths` have died."""

    def __init__(self, *arguments, dead: str, deaths: int, **options):
        super().__init__(*arguments, **options)
        self._dead, self._deaths = Path(dead), deaths

    def __call__(self, batch):
        if len(os.listdir(self._dead)) < self._deaths:
            (self._dead / f"{os.getpid()}-{time.monotonic_ns()}").touch()
            threading.Timer(random.random(), lambda: os.kill(os.getpid(), 9)).start()
        return super().__call__(batch)


@pytest.mark.skipif(not HAS_RAY, reason="ray is missing")
def test_lost_actors_and_nodes_change_nothing(corpus, single, tmp_path):
    import ray
    import ray.data
    from ray.cluster_utils import Cluster

    store = 80 << 20
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": store, "include_dashboard": False},
    )
    lost = cluster.add_node(num_cpus=1, object_store_memory=store)
    ray.init(address=cluster.address, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": _paths()}})
    try:
        dead, out = tmp_path / "dead", tmp_path / "out"
        dead.mkdir()
        threading.Timer(4.0, lambda: cluster.remove_node(lost, allow_graceful=False)).start()
        table = vitrine.ray.parts_table(PARTS).map_batches(
            MortalCapture,
            fn_constructor_kwargs={
                "paths": corpus,
                "out": out,
                "parts": PARTS,
                "dead": str(dead),
                "deaths": 3,
                **OPTIONS,
            },
            batch_size=1,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=2),
        )
        rows = table.take_all()
        assert len(os.listdir(dead)) == 3
        assert_same(single, out)
        assert documents(out) == list(range(len(TEXTS)))
        names = [path for path in files(out) if "shard-" in path]
        assert sorted(f"rank-{r['rank']:05}-of-{r['world']:05}/{r['file']}" for r in rows) == names

        totals = vitrine.ray.capture(corpus, out, parts=PARTS, actors=1, **OPTIONS)
        assert totals["documents"] == len(TEXTS) and totals["shards"] == len(names)
        with pytest.raises(vitrine.Error, match="plan.window is 16 there and 8 here") as error:
            vitrine.ray.capture(corpus, out, parts=PARTS, actors=1, **{**OPTIONS, "window": 8})
        assert "\n" not in str(error.value)

        done = by_command(corpus, "--out", tmp_path / "command", "--ray", cluster.address, "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)["corpus"]
        assert {name: found[name] for name in totals} == totals
        assert_same(single, tmp_path / "command")
        done = by_command(corpus, "--out", out, "--ray", cluster.address, "--window", 8)
        assert done.returncode == 2 and "plan.window is 16 there and 8 here" in done.stderr
        assert done.stderr.count("\n") == 1 and done.stderr.startswith("vitrine: ")
    finally:
        ray.shutdown()
        cluster.shutdown()


def _paths() -> str:
    return os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
