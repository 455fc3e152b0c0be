# SPDX-License-Identifier: MIT
"""Calls of several threads, with functions that need the interpreter in the middle of a pass."""

import threading
import time

from conftest import TEXT

from vitrine import Edit


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
