# SPDX-License-Identifier: MIT
"""Generation as an iterator."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any

from vitrine._vitrine import Model, StreamDecoder
from vitrine.types import Prompt


def stream(model: Model, prompt: Prompt, max_new_tokens: int = 32, **options: Any) -> Iterator[str]:
    """Yields the text of a continuation as soon as it is whole characters.

    The options are those of Model.generate but on_token. Closing the iterator, or leaving the loop,
    ends the generation after the present token. Raises what Model.generate raises.
    """
    if "on_token" in options:
        raise TypeError("stream() has no on_token: it yields the tokens' texts")
    ids = model.encode(prompt) if isinstance(prompt, str) else [int(token) for token in prompt]
    decoder = StreamDecoder(model)
    for before in ids:  # a continuation is decoded as what follows its prompt
        if before < model.tokenizer.vocab_size:
            decoder.push(before)
    tokens: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    failure: list[BaseException] = []
    closed = threading.Event()

    def on_token(_sequence: int, token: int) -> bool:
        tokens.put(token)
        return not closed.is_set()

    def run() -> None:
        try:
            model.generate(ids, max_new_tokens, on_token=on_token, **options)
        except BaseException as error:
            failure.append(error)
        finally:
            tokens.put(None)

    worker = threading.Thread(target=run, name="vitrine.stream", daemon=True)
    worker.start()
    try:
        while (token := tokens.get()) is not None:
            if text := decoder.push(token):
                yield text
        if text := decoder.flush():
            yield text
    finally:
        closed.set()
        worker.join()
    if failure:
        raise failure[0]
