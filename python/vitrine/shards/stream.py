# SPDX-License-Identifier: MIT
"""An iterator whose items another thread makes ahead."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from vitrine.error import Error

Item = TypeVar("Item")


class Stream(Generic[Item]):
    """Items of `make(stopping)` in their order, made up to `ahead` items early on a thread of their own.

    The thread waits while `ahead` items are ready: nothing is left out. What it raises comes out of
    `next()` after the items before it. `close()`, the end of a `with` block and the end of the object's
    life stop it after the present item, or earlier where `make` looks at `stopping()`. `ahead=0` makes each
    item when it is taken, without a thread.
    """

    def __init__(self, make: Callable[[Callable[[], bool]], Iterator[Item]], ahead: int = 2) -> None:
        if ahead < 0:
            raise Error(f"prefetch is {ahead}: expected a number of batches, or 0 for no thread")
        self._make = make
        self._ahead = ahead
        self._source: Iterator[Item] | None = None

    def __iter__(self) -> Stream[Item]:
        return self

    def __next__(self) -> Item:
        if self._source is None:
            self._source = self._start()
        return next(self._source)

    def next_batch(self) -> Item:
        """The next item, as `next()`."""
        return next(self)

    def close(self) -> None:
        """Stops the thread. There are no more items."""
        self._begin_again()
        self._source = iter(())

    def _begin_again(self) -> None:
        source, self._source = self._source, None
        if isinstance(source, _Ahead):
            source.close()

    def __enter__(self) -> Stream[Item]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> Iterator[Item]:
        return _Ahead(self._make, self._ahead) if self._ahead else self._make(lambda: False)


class _Queue:
    """What the thread and its reader share. The thread does not keep the reader alive."""

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self.ready: deque[Any] = deque()
        self.changed = threading.Condition()
        self.failure: BaseException | None = None
        self.ended = False
        self.closed = False

    def is_closed(self) -> bool:
        return self.closed

    def put(self, item: Any) -> bool:
        """Waits for room. Returns False if the items are no longer wanted."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or len(self.ready) < self.ahead)
            if not self.closed:
                self.ready.append(item)
            self.changed.notify_all()
            return not self.closed


def _fill(items: Iterator[Any], queue: _Queue) -> None:
    try:
        for item in items:
            if not queue.put(item):
                break
    except BaseException as error:
        queue.failure = error
    finally:
        with queue.changed:
            queue.ended = True
            queue.changed.notify_all()


def _stop(queue: _Queue, thread: threading.Thread) -> None:
    with queue.changed:
        queue.closed = True
        queue.ready.clear()
        queue.changed.notify_all()
    if thread is not threading.current_thread():
        thread.join()


class _Ahead(Iterator[Item]):
    def __init__(self, make: Callable[[Callable[[], bool]], Iterator[Item]], ahead: int) -> None:
        self._queue = _Queue(ahead)
        items = make(self._queue.is_closed)
        thread = threading.Thread(target=_fill, args=(items, self._queue), name="vitrine.shards", daemon=True)
        # At the end of the program, too: a pass must not run while the interpreter is taken apart.
        self._stop = weakref.finalize(self, _stop, self._queue, thread)
        thread.start()

    def __next__(self) -> Item:
        queue = self._queue
        with queue.changed:
            queue.changed.wait_for(lambda: queue.ready or queue.ended or queue.closed)
            if queue.ready:
                item: Item = queue.ready.popleft()
                queue.changed.notify_all()
                return item
        if queue.failure is not None:
            raise queue.failure
        raise StopIteration

    def close(self) -> None:
        self._stop()
