"""Write shards in one worker process of a build: tasks on standard input, reports on standard output.

It is started as a plain script, not by multiprocessing: nothing is forked (the caller may hold a JAX client and many
threads) and the caller's main module is not imported again (it may have no `if __name__ == "__main__"`). When the
caller dies, standard input ends and so does the worker.
"""

import os
import pickle
import signal
import sys
from typing import Any, BinaryIO


def main() -> None:
    """Serve tasks until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the caller too, and it ends its workers
    tasks, reports = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # prints of libraries must not mix with the reports
    sys.path[:] = pickle.load(tasks)
    # Writing shards needs no TFDS: the package is imported as where it is not installed.
    sys.modules["tensorflow_datasets"] = None  # type: ignore[assignment]
    while True:
        try:
            examples, paths = pickle.load(tasks)
        except EOFError:
            return
        _serve(examples, paths, reports)


def _serve(examples: Any, paths: dict[str, str], reports: BinaryIO) -> None:
    """Write one shard; send a number for every batch of examples, then the result or the exception."""
    from tfds_builders.writing.records import write_shard

    def report(examples_seen: int) -> None:
        _send(reports, examples_seen)

    try:
        _send(reports, write_shard(examples(), paths, report))
    except BrokenPipeError:
        sys.exit(1)  # the caller has gone
    except BaseException as error:
        _send(reports, error)


def _send(reports: BinaryIO, message: object) -> None:
    pickle.dump(message, reports)
    reports.flush()


if __name__ == "__main__":
    main()
