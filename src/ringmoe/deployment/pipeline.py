"""Threads: some ahead of the model, some behind, never far; and the model in several."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import Event
from typing import TypeVar

import torch

from ringmoe.errors import ConfigError
from ringmoe.sampling import prepared

S = TypeVar("S")
T = TypeVar("T")

_END = object()
_MOST = 4  # threads of a model


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


def forward_threads(device: torch.device | str) -> int:
    """In how many threads a model is best called at once.

    On a CPU in several, each with its share of torch's own threads. Those wait for one another
    within every operation, also for one that lost its core to a reader or writer; forward passes
    side by side do not. Each needs memory of its own.
    """
    if torch.device(device).type != "cpu" or not torch.backends.openmp.is_available():
        return 1
    return min(torch.get_num_threads(), _MOST)


def side_by_side(
    work: Callable[[S], T], items: Iterable[S], threads: int
) -> Generator[T, None, None]:
    """The results of work on each item, in their order, of so many threads at once.

    Args:
        work: A function of one item.
        items: Taken in the calling thread, at most `threads` + 1 ahead of the results.
        threads: In which torch uses its own threads divided by their number; 1 for the caller's.

    Raises:
        ConfigError: `threads` is not positive.
    """
    if threads < 1:
        raise ConfigError(f"threads must be 1 or more, got {threads}")
    if threads == 1:
        yield from map(work, items)
        return
    before = torch.get_num_threads()
    begin = partial(torch.set_num_threads, max(1, before // threads))
    try:
        yield from prepared(work, items, ahead=threads, threads=threads, begin=begin)
    finally:
        torch.set_num_threads(before)  # new threads take the number that was set last


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
