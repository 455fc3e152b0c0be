# SPDX-License-Identifier: MIT
"""What is no longer used is freed: cycles through Python functions, and what many calls leave."""

import gc
import os
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from conftest import TEXT

import vitrine
from vitrine import Edit, Error, Target

SITE = "blocks.2.hook_resid_post"


class Owner:
    """What a cycle goes through; as a token it is the token 5."""

    def __index__(self) -> int:
        return 5


def function_of(owner: Owner):
    return lambda values, place: values if owner else None


HOLDERS = {
    "a plan": lambda m, o: m.compile(edits=[Edit.function(SITE, function_of(o)), Edit.zero("hook_embed")]),
    "a plan with gradients": lambda m, o: m.compile(
        edits=Edit.function("blocks.*.hook_mlp_out", function_of(o), adjoint=function_of(o)), wrt="hook_embed"
    ),
    "a plan of a method": lambda m, o: m.compile(edits=[Edit.function(SITE, o.__index__).straight_through()] * 2),
    "an edit": lambda m, o: Edit.function(SITE, function_of(o)),
    "an edit's adjoint": lambda m, o: Edit.function(SITE, len, adjoint=function_of(o)).straight_through(),
    "a target": lambda m, o: Target.logit(o) - 2.0 * Target.logit([3, o]),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_a_cycle_is_collected(model, name):
    owner = Owner()
    owner.held = HOLDERS[name](model, owner)
    gone = weakref.ref(owner)
    gc.collect()
    assert gone() is owner  # reachable
    held = owner.held
    del owner
    gc.collect()
    assert gone() is not None  # what is held reaches it
    del held
    assert gone() is not None  # a cycle
    gc.collect()
    assert gone() is None


def test_what_a_plan_holds_serves_after_a_collection(model):
    seen = []

    def function(values, place):
        seen.append(place.layer)
        gc.collect()
        return values * 0

    plan = model.compile(capture=SITE, edits=Edit.function(SITE, function))
    function.plan = plan
    del function
    gc.collect()
    assert not model.run(TEXT, plan=plan)[SITE].any() and seen == [2]


def test_a_finalizer_may_use_what_is_collected(model):
    said = []

    class Last:
        def __del__(self):
            said.append(model.run(TEXT, plan=self.plan)[SITE].any())

    last = Last()
    last.plan = model.compile(capture=SITE, edits=Edit.function(SITE, lambda v, p, kept=last: v * 0))
    del last
    gc.collect()
    assert said == [False]


def test_collections_beside_passes(model):
    plan = model.compile(capture=SITE, edits=Edit.function(SITE, lambda v, p: v * 0))
    wrong = []

    def work():
        for _ in range(20):
            if model.run(TEXT, plan=plan)[SITE].any():
                wrong.append(1)
            HOLDERS["a plan"](model, Owner())

    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        gc.collect()
    assert not wrong


def pages() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="the sanitizer keeps what was freed")
def test_loads_and_runs_do_not_grow():
    config = vitrine.Config(layers=2, heads=2, width=32, vocab=100, context=32)

    def once(seed: int) -> None:
        model = vitrine.Model.random(config, seed, threads=1)
        edits = [
            Edit.function("blocks.1.hook_mlp_out", lambda v, p: v * 1),
            Edit.add("blocks.0.hook_resid_pre", np.ones(32)),
        ]
        model.run([1, 2, 3, 4], capture="blocks.*.hook_*", edits=edits)["blocks.1.hook_resid_post"].sum()
        model.gradients([1, 2, 3], Target.logit(5), wrt="blocks.0.hook_resid_pre")
        model.generate([1, 2], 3, temperature=1.0, seed=seed, on_token=lambda s, t: None)
        session = model.session()
        session.run([1, 2])
        session.fork()
        vitrine.lens(model, [1, 2, 3], progress=lambda *a: None).to_dict()
        with pytest.raises(TypeError):
            vitrine.lens(model, [1, 2, 3], top_k="x")
        with pytest.raises(ZeroDivisionError):
            model.run([1, 2], edits=Edit.function("hook_embed", lambda v, p: 1 / 0))
        with pytest.raises(Error):
            model.run([100])

    def work(times: int) -> tuple[int, int]:
        for seed in range(times):
            once(seed)
        gc.collect()
        return sys.getallocatedblocks(), pages()

    work(20)
    found = [work(50) for _ in range(4)]
    # What is kept by a call grows in every part; what NumPy and Python cache does not.
    assert min(after[0] - before[0] for before, after in zip(found, found[1:])) < 50  # objects
    assert found[-1][1] - found[0][1] < 2 << 20  # a model has 0.1 MiB


def test_nothing_leaks_at_the_end_of_a_process():
    code = f"""
import vitrine, numpy as np
from vitrine import Edit, Target
model = vitrine.Model.load("demo")
run = model.run({TEXT!r}, capture={SITE!r}, edits=Edit.function({SITE!r}, lambda v, p: None))
plan = model.compile(edits=Edit.function({SITE!r}, lambda v, p: plan and v))
array = model.run({TEXT!r}, plan=plan).logits
found = model.gradients({TEXT!r}, Target.logit(" is"), wrt={SITE!r})
generation = model.generate({TEXT!r}, 2, on_token=lambda s, t: True)
session = model.session(); session.run({TEXT!r})
result = vitrine.noise(model, {TEXT!r}, repetitions=1, kinds=["spans"], progress=lambda *a: None)
for wrong in (lambda: model.run(3), lambda: vitrine.lens(model, {TEXT!r}, kl="x")):
    try: wrong()
    except TypeError as error: kept = error
try: model.run({TEXT!r}, edits=Edit.function({SITE!r}, lambda v, p: 1 / 0))
except ZeroDivisionError: pass
"""
    done = subprocess.run(
        [sys.executable, "-c", "def main():" + code.replace("\n", "\n ") + "\nmain()"],
        capture_output=True,
        text=True,
        env={**os.environ, "VITRINE_LEAKS": "1"},  # nanobind's report, on stderr
    )
    assert (done.returncode, done.stderr) == (0, "")
