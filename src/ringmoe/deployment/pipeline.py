"""Work of other threads beside the model's: some ahead of it, some behind, never far."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TypeVar

T = TypeVar("T")

_END = object()


@contextmanager
def ahead(items: Generator[T, None, None], depth: int) -> Iterator[Iterator[T]]:
    """The same items, each prepared by one thread while those before are used.

    Args:
        items: A generator; runs, and at the end is closed, in that thread.
        depth: How many may wait. Errors come when their item's turn does.
    """
    with ThreadPoolExecutor(1, "read") as pool:
        coming = deque(pool.submit(next, items, _END) for _ in range(depth))

        def taken() -> Iterator[T]:
            while (item := coming.popleft().result()) is not _END:
                coming.append(pool.submit(next, items, _END))
                yield item  # type: ignore[misc]

        try:
            yield taken()
        finally:
            for future in coming:
                future.cancel()
            pool.submit(items.close)  # in its own thread, to which its open files belong


@contextmanager
def behind(work: Callable[[T], None], depth: int) -> Iterator[Callable[[T], None]]:
    """A function that has one thread do the work, on one item after the other.

    When the context ends, all is done, also after an error of the caller's. After an error of the
    work itself the items that follow are left: they may build on the one that failed.

    Args:
        work: What to do with an item.
        depth: How many may wait; then the caller does too. Errors come at a later call or the end.
    """
    waiting: deque[Future[None]] = deque()
    failed = Event()

    def attempt(item: T) -> None:
        if failed.is_set():
            return
        try:
            work(item)
        except BaseException:
            failed.set()
            raise

    def put(item: T) -> None:
        while len(waiting) >= depth or (waiting and waiting[0].done()):
            waiting.popleft().result()
        waiting.append(pool.submit(attempt, item))

    with ThreadPoolExecutor(1, "write") as pool:
        yield put
        while waiting:
            waiting.popleft().result()
