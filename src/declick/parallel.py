"""Work in several processes, in order, with little in flight."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.util import Finalize
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self, TypeVar

from threadpoolctl import threadpool_limits

from declick.errors import DeclickError

Item = TypeVar("Item")
Result = TypeVar("Result")

# One process loads the libraries, and the others are made of it; elsewhere each loads its own.
_METHOD = "forkserver" if sys.platform == "linux" else "spawn"
# BLAS counts its threads when it is loaded, and its sums depend on them: one thread everywhere.
# glibc gives big arrays back to the kernel at once, and clearing fresh pages for the next one takes
# a third of the detector's time: let it keep 24 MB.
_MMAP_THRESHOLD, _TRIM_THRESHOLD = 32 << 20, 24 << 20
_WORKER_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(_MMAP_THRESHOLD),
    "MALLOC_TRIM_THRESHOLD_": str(_TRIM_THRESHOLD),
}


def available_cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keep_memory() -> None:
    """Let this process, too, keep the memory that it has freed, where its library is glibc."""
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, _MMAP_THRESHOLD)  # numbers of <malloc.h>
        mallopt(-1, _TRIM_THRESHOLD)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Hold BLAS to one thread: results must not depend on the machine's cores."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


class _Stop(BaseException):
    """Unwinds a worker's task, so that its temporary files are removed."""


_busy = False  # of this worker process


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """End a worker: at once, or through the clean-up of its task."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _busy:
        raise _Stop
    os._exit(1)


def _prepare_worker() -> None:
    """Leave Ctrl-C to the parent, BLAS to one thread, and never outlive the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    threadpool_limits(limits=1, user_api="blas")
    # Taking an interpreter with so many libraries apart would keep the user waiting.
    Finalize(None, os._exit, args=(0,), exitpriority=-200)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put off what would stop us until workers have all that they are started with."""
    caught: list[int] = []
    previous: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for one in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(one)):
                previous[one] = signal.signal(one, lambda number, _: caught.append(number))
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if caught:
            signal.raise_signal(caught[0])


@contextmanager
def _worker_conditions() -> Iterator[None]:
    """Let processes begin with one BLAS thread, and deaf to a Ctrl-C, which is ours to answer.

    One that reached them while they start would make each print a traceback.
    """
    before = {name: os.environ.get(name) for name in _WORKER_ENVIRONMENT}
    os.environ.update(_WORKER_ENVIRONMENT)
    mask = getattr(signal, "pthread_sigmask", None)
    if mask:
        resource_tracker.ensure_running()  # its start would lift the block half-way
    blocked = mask(signal.SIG_BLOCK, {signal.SIGINT}) if mask else None
    try:
        with _undisturbed():
            yield
    finally:
        if mask:
            mask(signal.SIG_SETMASK, blocked)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    """Do one task in a worker."""
    global _busy
    try:
        _busy = True
        return function(item)
    except _Stop:
        os._exit(1)
    finally:
        _busy = False


def _load(module: str) -> None:
    """Load a module in a worker."""
    import_module(module)


class Workers:
    """A pool of processes that starts when it is first used; with one job, no pool at all.

    Parameters
    ----------
    jobs : int
        Processes that work at the same time, at least 1.
    apart : bool
        Whether one job, too, is done in another process, while this one does something else.
    """

    def __init__(self, jobs: int, *, apart: bool = False) -> None:
        self.jobs = max(1, jobs)
        self.apart = apart or self.jobs > 1
        self._pool: ProcessPoolExecutor | None = None
        self._limits: Any = None

    def __enter__(self) -> Self:
        self._limits = threadpool_limits(limits=1, user_api="blas")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            if error is not None:
                # What is at work would go on for minutes, and nobody wants it any more.
                for process in list((self._pool._processes or {}).values()):
                    process.terminate()
            # Killed workers break the pool, which fails on work that was cancelled (Python 3.11).
            self._pool.shutdown(wait=True, cancel_futures=error is None)
            self._pool = None
        if self._limits is not None:
            self._limits.restore_original_limits()
            self._limits = None

    def start(self, module: str) -> None:
        """Begin to start the pool, if there is to be one, before there is work for it.

        Parameters
        ----------
        module : str
            What the work will be of: it is loaded while this process does something else.
        """
        if self.apart and self._pool is None:
            with _worker_conditions():
                if _METHOD == "forkserver":
                    from multiprocessing import forkserver  # not everywhere to be had

                    forkserver.set_forkserver_preload([module])
                    forkserver.ensure_running()
                else:
                    self._pool = self._fill_pool(module)

    def _start(self, module: str) -> ProcessPoolExecutor:
        """Start the pool."""
        if self._pool is None:
            self.start(module)
        if self._pool is None:
            with _worker_conditions():
                self._pool = self._fill_pool(module)
        return self._pool

    def _fill_pool(self, module: str) -> ProcessPoolExecutor:
        """Return a pool with all its processes."""
        pool = ProcessPoolExecutor(
            self.jobs, mp_context=get_context(_METHOD), initializer=_prepare_worker
        )
        # All at once: left to itself, a pool with an idle process starts the others later, and
        # could not any more with what is closed below.
        for _ in range(self.jobs):
            pool._spawn_process()  # type: ignore[attr-defined]
        for _ in range(self.jobs):
            pool.submit(_load, module)
        # Of a worker that is killed in mid-answer we would wait for the rest for ever, as long as
        # we could write that rest ourselves.
        pool._result_queue._writer.close()  # type: ignore[attr-defined]
        return pool

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
        if not self.apart:
            with single_threaded_blas():
                yield from map(function, items)
            return
        pool = self._start(function.__module__)
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(_call, function, item))
                if len(waiting) > self.jobs + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise DeclickError(
                "a worker process was killed, perhaps for want of memory; try --jobs 1"
            ) from None
