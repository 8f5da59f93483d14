"""Steps prepared while the one before is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")


def prepared(
    make: Callable[[int], Made], steps: Iterable[int], *, ahead: int, threads: int = 1
) -> Iterator[Made]:
    """`make(step)` of each step in order, made ahead in threads.

    Args:
        make: A function of the step alone; what it raises is raised when that step is reached.
        steps: The steps, perhaps without end.
        ahead: How many to prepare ahead; 0 makes each when it is asked for.
        threads: That make them.
    """
    if ahead < 1:
        yield from map(make, steps)
        return
    pending: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="prepare") as pool:
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
