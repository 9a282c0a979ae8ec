"""Write shards by an Apache Beam pipeline, on any runner; the bytes are those that `writing.pool` writes.

The pipeline carries shard numbers only. The tasks and their results are files in a folder beside the data set, so the
pipeline stays small however large the archive is. They are signed: a pickle that somebody else put there is not opened.
Every worker must see the archive and the data folder under the same paths, and needs this package with its extra
`beam`.
"""

import contextlib
import hmac
import os
import pickle
import secrets
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.writing.pool import Shard
from tfds_builders.writing.records import ShardResult, write_shard

_POLL_S = 0.5
_FAILED = "failed"  # the file with the first error; other workers stop when they see it
_SIGNATURE_BYTES = 32


@dataclass(frozen=True)
class Notes:
    """A folder in which the processes of one pipeline leave values for one another; only they know the key."""

    folder: Path
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def write(self, name: str, value: Any) -> None:
        """Leave a value under a name, at once."""
        content = pickle.dumps(value)
        part = self.folder / f"{name}-{uuid.uuid4().hex}"
        part.write_bytes(hmac.digest(self.key, content, "sha256") + content)
        os.replace(part, self.folder / name)

    def read(self, name: str) -> Any:
        """Return the value under a name; raise ArchiveError where no process of this pipeline has left it."""
        data = (self.folder / name).read_bytes()
        signature, content = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, hmac.digest(self.key, content, "sha256")):
            raise ArchiveError(f"{self.folder / name}: changed by somebody else, or damaged; build again")
        return pickle.loads(content)

    def has(self, name: str) -> bool:
        """Return whether a value has been left under a name."""
        return (self.folder / name).exists()


def parse_beam_options(options: Sequence[str]) -> Any:
    """Return Beam's PipelineOptions of options such as "runner=DirectRunner" or "direct_num_workers=4"."""
    try:
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ArchiveError(f"Beam options need Apache Beam ({error}); pip install 'mtsccd-jax[beam]'") from error
    flags = [f"--{option.lstrip('-')}" for option in options]
    try:
        parsed = PipelineOptions(flags)
        known = parsed.get_all_options()
    except SystemExit as error:  # argparse's way to refuse a value, after a word to standard error
        raise ArchiveError(f"Beam options {' '.join(options)}: Beam refuses one of them") from error
    for option in options:
        name = option.lstrip("-").partition("=")[0]
        if name not in known and name.removeprefix("no_") not in known:
            raise ArchiveError(f"Beam options: Beam knows no option '{name}'")
    return parsed


def write_shards_with_beam(
    shards: Sequence[Shard], scratch: Path, options: Any, runner: Any, report: Callable[[int], None]
) -> list[ShardResult]:
    """Write shards by a pipeline and return their results, in the order of the shards, as `pool.write_shards` does.

    The first error stops everything: shards begun later are not written.

    Args:
        shards: the shards to write.
        scratch: folder for the pipeline's own files, on the file system of the shards; made, and removed by the caller.
        options: Beam's PipelineOptions.
        runner: a runner or its name, or None for that of `options`.
        report: called, from a thread of its own, with the number of further examples seen.

    Raises:
        Exception: whatever a shard's examples raise (ArchiveError for a bad image), or OSError for a full disk.
        ChildProcessError: the pipeline failed outside a shard (workers were lost for good). Beam's own local runner
            does not notice that a worker process was killed, and waits for it; and where this process is killed, its
            workers stay. In both cases end them all: the same build again makes the same bytes.
    """
    import apache_beam as beam

    scratch.mkdir(parents=True, exist_ok=True)
    notes = Notes(scratch)
    for number, shard in enumerate(shards):
        notes.write(f"{number}.task", shard)
    try:
        pipeline = beam.Pipeline(runner=runner, options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise ArchiveError(f"Beam options: {error}") from error
    numbers = pipeline | "shards" >> beam.Create(range(len(shards))) | "spread" >> beam.Reshuffle()
    numbers | "write" >> beam.Map(write_task, notes)
    with _reporting(notes, len(shards), report):
        try:
            pipeline.run().wait_until_finish()
        except Exception as error:
            _raise_failure(notes)
            said = " ".join(str(error).split())[-300:]
            raise ChildProcessError(f"the Beam pipeline failed ({said}); run it again") from error
    _raise_failure(notes)
    return [notes.read(f"{number}.done") for number in range(len(shards))]


def write_task(number: int, notes: Notes) -> None:
    """Write one shard, unless it is written already or another has failed.

    A runner may start a task again after a worker was lost, or twice at once. Each attempt writes files of its own,
    which get the shard's names when they are complete; all attempts have the same content.
    """
    if notes.has(f"{number}.done") or notes.has(_FAILED):
        return
    attempt, paths = notes.folder / f"{number}-{uuid.uuid4().hex}", {}
    try:
        shard: Shard = notes.read(f"{number}.task")
        paths = {name: os.fspath(attempt.with_suffix(f".{name}")) for name in shard.paths}
        result = write_shard(shard.examples(), paths, lambda more: None)
        for name, path in paths.items():
            os.replace(path, shard.paths[name])
        notes.write(f"{number}.done", result)
    except Exception as error:
        for path in paths.values():
            Path(path).unlink(missing_ok=True)
        notes.write(_FAILED, error)


def _raise_failure(notes: Notes) -> None:
    """Raise the error of the shard that failed, if one did."""
    if notes.has(_FAILED):
        raise notes.read(_FAILED)


@contextlib.contextmanager
def _reporting(notes: Notes, shards: int, report: Callable[[int], None]) -> Iterator[None]:
    """Report shards as they are done, since a runner's own counters cannot be read while it runs."""
    waiting = set(range(shards))
    over = threading.Event()

    def look() -> None:
        for number in sorted(waiting):
            if notes.has(f"{number}.done"):
                waiting.remove(number)
                result: ShardResult = notes.read(f"{number}.done")
                report(result.examples + len(result.skipped) + result.excluded)

    def watch() -> None:
        while not over.wait(_POLL_S):
            look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    look()
