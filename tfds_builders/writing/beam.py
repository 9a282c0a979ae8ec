"""Write shards by an Apache Beam pipeline, on any runner; the bytes are those that `writing.pool` writes.

The pipeline carries shard numbers only. The tasks and their results are files in a folder beside the data set, so the
pipeline stays small however large the archive is. Every worker must see the archive and the data folder under the same
paths, and needs this package with its extra `beam`.
"""

import contextlib
import os
import pickle
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.writing.pool import Shard
from tfds_builders.writing.records import ShardResult, write_shard

_POLL_S = 0.5
_FAILED = "failed"  # the file with the first error; other workers stop when they see it


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
            does not notice that a worker process was killed, and waits for it.
    """
    import apache_beam as beam

    scratch.mkdir(parents=True, exist_ok=True)
    for number, shard in enumerate(shards):
        _task_path(scratch, number).write_bytes(pickle.dumps(shard))
    try:
        pipeline = beam.Pipeline(runner=runner, options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise ArchiveError(f"Beam options: {error}") from error
    numbers = pipeline | "shards" >> beam.Create(range(len(shards))) | "spread" >> beam.Reshuffle()
    numbers | "write" >> beam.Map(write_task, str(scratch))
    with _reporting(scratch, len(shards), report):
        try:
            pipeline.run().wait_until_finish()
        except Exception as error:
            _raise_failure(scratch)
            said = " ".join(str(error).split())[-300:]
            raise ChildProcessError(f"the Beam pipeline failed ({said}); run it again") from error
    _raise_failure(scratch)
    return [pickle.loads(_result_path(scratch, number).read_bytes()) for number in range(len(shards))]


def write_task(number: int, scratch: str) -> None:
    """Write one shard, unless it is written already or another has failed.

    A runner may start a task again after a worker was lost, or twice at once. Each attempt writes files of its own,
    which get the shard's names when they are complete; all attempts have the same content.
    """
    folder = Path(scratch)
    if _result_path(folder, number).exists() or (folder / _FAILED).exists():
        return
    attempt = folder / f"{number}-{uuid.uuid4().hex}"
    tfrecord, array_record, done = (
        os.fspath(attempt.with_suffix(suffix)) for suffix in (".tfrecord", ".array_record", ".result")
    )
    try:
        shard: Shard = pickle.loads(_task_path(folder, number).read_bytes())
        result = write_shard(shard.examples(), tfrecord, array_record, lambda more: None)
        Path(done).write_bytes(pickle.dumps(result))
        os.replace(tfrecord, shard.tfrecord_path)
        os.replace(array_record, shard.array_record_path)
        os.replace(done, _result_path(folder, number))
    except Exception as error:
        for path in (tfrecord, array_record, done):
            Path(path).unlink(missing_ok=True)
        note = attempt.with_suffix(".error")
        note.write_bytes(pickle.dumps(error))
        os.replace(note, folder / _FAILED)


def _task_path(folder: Path, number: int) -> Path:
    return folder / f"{number}.task"


def _result_path(folder: Path, number: int) -> Path:
    return folder / f"{number}.done"


def _raise_failure(folder: Path) -> None:
    """Raise the error of the shard that failed, if one did."""
    if (folder / _FAILED).exists():
        raise pickle.loads((folder / _FAILED).read_bytes())


@contextlib.contextmanager
def _reporting(folder: Path, shards: int, report: Callable[[int], None]) -> Iterator[None]:
    """Report shards as they are done, since a runner's own counters cannot be read while it runs."""
    waiting = set(range(shards))
    over = threading.Event()

    def look() -> None:
        for number in sorted(waiting):
            if _result_path(folder, number).exists():
                waiting.remove(number)
                result: ShardResult = pickle.loads(_result_path(folder, number).read_bytes())
                report(result.examples + len(result.skipped))

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
