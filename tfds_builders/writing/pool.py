"""Write shards with several processes at once."""

import contextlib
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfds_builders.writing.records import Example, Excluded, ShardResult, Skipped, write_shard

_WORKER = Path(__file__).with_name("worker.py")

ExamplesFn = Callable[[], Iterator[tuple[object, Example | bytes | Skipped | Excluded]]]


@dataclass(frozen=True)
class Shard:
    """One shard to write: a picklable function that yields its examples, and the file of each format."""

    examples: ExamplesFn
    paths: dict[str, str]


def write_shards(shards: Sequence[Shard], workers: int, report: Callable[[int], None]) -> list[ShardResult]:
    """Write shards with several processes and return their results, in the order of the shards.

    `report` is called with the number of further examples seen. With one worker (or one shard) the calling process
    writes by itself. The first error stops everything.

    Raises:
        Exception: whatever a shard's examples raise (ArchiveError for a bad image), or OSError for a full disk.
        ChildProcessError: a worker was killed.
    """
    workers = min(workers, len(shards))
    if workers <= 1:
        return [write_shard(shard.examples(), shard.paths, report) for shard in shards]
    pool = _Pool(shards, report)
    try:
        return pool.run(workers)
    finally:
        pool.stop()


class _Pool:
    """Worker processes, each fed and listened to by one thread of this process."""

    def __init__(self, shards: Sequence[Shard], report: Callable[[int], None]):
        self._waiting: queue.SimpleQueue[tuple[int, Shard]] = queue.SimpleQueue()
        for item in enumerate(shards):
            self._waiting.put(item)
        # (shard number, message); the number -1 says that a thread has ended.
        self._messages: queue.SimpleQueue[tuple[int, object]] = queue.SimpleQueue()
        self._results: list[ShardResult | None] = [None] * len(shards)
        self._report = report
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []

    def run(self, workers: int) -> list[ShardResult]:
        for _ in range(workers):
            # -P: the worker's own folder, whose module names are short and common, stays off its path.
            command = [sys.executable, "-P", str(_WORKER)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._processes.append(process)
            thread = threading.Thread(target=self._drive, args=(process,), daemon=True)
            self._threads.append(thread)
            thread.start()
        open_threads = workers
        while open_threads:
            number, message = self._messages.get()
            if number < 0:
                open_threads -= 1
            elif isinstance(message, ShardResult):
                self._results[number] = message
            elif isinstance(message, BaseException):
                raise message
            else:
                assert isinstance(message, int)
                self._report(message)
        results = [result for result in self._results if result is not None]
        assert len(results) == len(self._results)
        return results

    def stop(self) -> None:
        """End every worker, busy or not, and wait for it."""
        for process in self._processes:
            process.kill()
        for thread in self._threads:
            thread.join()
        for process in self._processes:
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _drive(self, process: subprocess.Popen[bytes]) -> None:
        """Hand shards to one worker until none is left."""
        assert process.stdin is not None
        assert process.stdout is not None
        number = 0
        try:
            pickle.dump(sys.path, process.stdin)
            while True:
                number, shard = self._waiting.get_nowait()
                pickle.dump((shard.examples, shard.paths), process.stdin)
                process.stdin.flush()
                message: object = 0
                while not isinstance(message, ShardResult | BaseException):
                    message = pickle.load(process.stdout)
                    self._messages.put((number, message))
        except queue.Empty:
            pass
        except (EOFError, OSError, pickle.UnpicklingError):
            died = f"a worker process ended while it wrote a shard (exit status {process.wait()}); run it again"
            self._messages.put((number, ChildProcessError(died)))
        finally:
            self._messages.put((-1, None))
