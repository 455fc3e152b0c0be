# SPDX-License-Identifier: MIT
"""Calls of several threads, with functions that need the interpreter in the middle of a pass."""

import threading
import time

import pytest
from conftest import TEXT

import vitrine
from vitrine import Edit, Target


def test_a_call_that_waits_for_a_session_lets_its_edits_run(model):
    session = model.session()
    inside = threading.Event()

    def slow(values, place):
        inside.set()
        time.sleep(0.05)  # gives the interpreter to the thread that waits

    edit = Edit.function("blocks.*.hook_mlp_out", slow)
    worker = threading.Thread(target=lambda: session.run(TEXT, edits=edit), daemon=True)
    worker.start()
    assert inside.wait(10)
    assert session.length() == 5
    worker.join(10)
    assert not worker.is_alive()


def test_threads_with_function_edits_do_not_wait_for_each_other(model):
    def run():
        for _ in range(5):
            model.run(TEXT, edits=Edit.function("blocks.*.hook_mlp_out", lambda v, p: v * 1))
            model.embed([1, 2])

    threads = [threading.Thread(target=run, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def test_analyses_of_threads_are_those_of_one(model):
    def fails(values, place):
        raise ZeroDivisionError

    def refused():
        with pytest.raises(ZeroDivisionError):
            model.run(TEXT, edits=Edit.function("blocks.3.hook_mlp_out", fails))
        with pytest.raises(TypeError):
            vitrine.lens(model, TEXT, kl="yes")

    calls = [
        lambda: vitrine.lens(model, TEXT, progress=lambda *a: None).to_dict(),
        lambda: model.generate(TEXT, 4, stop=[], on_token=lambda s, t: True).ids,
        lambda: model.gradients(TEXT, Target.logit(" are"), wrt="hook_embed")["hook_embed"].tobytes(),
        lambda: vitrine.noise(model, TEXT, repetitions=1, kinds=["spans"]).to_dict(),
        refused,
    ]
    wanted = [call() for call in calls]
    found = [[] for _ in calls]

    def work(i):
        for _ in range(3):
            found[i].append(calls[i]())

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [[each] * 3 for each in wanted]
