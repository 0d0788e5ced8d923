"""Work in several processes, in order, with little in flight."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from types import TracebackType
from typing import Self, TypeVar

from threadpoolctl import threadpool_limits

from declick.errors import DeclickError

Item = TypeVar("Item")
Result = TypeVar("Result")

# BLAS counts its threads when it is loaded, and its sums depend on them: one thread everywhere.
_THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def available_cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread: results must not depend on the machine's cores."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def _prepare_worker() -> None:
    """Leave Ctrl-C to the parent, and BLAS to one thread."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpool_limits(limits=1, user_api="blas")


class Workers:
    """A pool of processes that starts when it is first used; with one job, no pool at all.

    Parameters
    ----------
    jobs : int
        Processes that work at the same time, at least 1.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = max(1, jobs)
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=error is None, cancel_futures=True)
            self._pool = None

    def _start(self) -> ProcessPoolExecutor:
        """Start the pool, its processes limited to one BLAS thread from their first moment."""
        if self._pool is None:
            before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
            os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
            try:
                self._pool = ProcessPoolExecutor(
                    self.jobs, mp_context=get_context("spawn"), initializer=_prepare_worker
                )
                for _ in range(self.jobs):
                    self._pool.submit(int)
            finally:
                for name, value in before.items():
                    if value is None:
                        del os.environ[name]
                    else:
                        os.environ[name] = value
        return self._pool

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield ``function(item)`` in the order of the items, a few ahead of the reader.

        Parameters
        ----------
        function : callable
            Of a module, so that another process can find it.
        items : iterable
            Drawn from only as fast as the results are taken.

        Raises
        ------
        DeclickError
            If a worker process was killed.
        """
        if self.jobs == 1:
            with single_threaded_blas():
                yield from map(function, items)
            return
        pool = self._start()
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > self.jobs + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise DeclickError(
                "a worker process was killed, perhaps for want of memory; try --jobs 1"
            ) from None
        finally:
            for future in waiting:
                future.cancel()
