"""Steps prepared while the one before is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Step = TypeVar("Step")
Made = TypeVar("Made")


def prepared(
    make: Callable[[Step], Made],
    steps: Iterable[Step],
    *,
    ahead: int,
    threads: int = 1,
    begin: Callable[[], None] | None = None,
) -> Iterator[Made]:
    """`make(step)` of each step in order, made ahead in threads.

    Args:
        make: A function of the step alone; what it raises is raised when that step is reached.
        steps: The steps, perhaps without end.
        ahead: How many to prepare ahead; 0 makes each when it is asked for.
        threads: That make them.
        begin: What each thread does first.
    """
    if ahead < 1:
        yield from map(make, steps)
        return
    pending: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads, "prepare", begin) as pool:
        try:
            for step in steps:
                pending.append(pool.submit(make, step))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
