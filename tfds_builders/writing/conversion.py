"""A data set that is built gets another file format, without its archive."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import read_only_builder

from tfds_builders.checksums import CHECKSUMS_FILE, damaged_file, unreadable, write_checksums
from tfds_builders.processors import default_workers
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.files import is_of_the_machine, read_file
from tfds_builders.writing.building import UNFINISHED, building_alone
from tfds_builders.writing.formats import INFO_FILE, formats_named, formats_of, shard_files
from tfds_builders.writing.pool import Shard, write_shards
from tfds_builders.writing.stored import READERS, StoredRecords


def convert(
    name: str,
    *,
    formats: str,
    data_dir: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Give a data set that is built other file formats, without its archive; return its folder.

    The files are those that a build in these formats writes. A format that is no longer asked for is removed once the
    other one is whole.

    Args:
        name: "data_set" or "data_set/config".
        formats: "both", "tfrecord" or "array_record".
        data_dir: TFDS's data folder; its default is TFDS's own.
        workers: number of processes that write; the default is one per processor.
        progress: called with (examples done, examples in all).

    Raises:
        ArchiveError: the data are not there, or damaged.
        OSError: the disk is full.
        ChildProcessError: a worker was killed.
    """
    place, wanted = Path(tfds.core.constants.DATA_DIR if data_dir is None else data_dir), formats_named(formats)
    try:
        builder = read_only_builder.builder_from_files(name, data_dir=place)
    except tfds.core.DatasetNotFoundError as error:
        raise ArchiveError(f"data set '{name}' is not in {place}; build it with mtsccd-jax data build") from error
    except Exception as error:  # TFDS parses damaged files as if they were whole, and fails anywhere
        if is_of_the_machine(error):
            raise
        raise ArchiveError(f"{unreadable(name, place, error)}; build it again") from error
    folder, splits = Path(builder.data_dir), list(builder.info.splits.values())
    with building_alone(folder):
        if wrong := damaged_file(folder):
            raise ArchiveError(f"{wrong}; remove the data set and build again")
        declared = formats_of(folder)
        had = [one for one in declared if one in READERS and all(map(os.path.exists, _paths(splits, one)))]
        if not had:
            raise ArchiveError(f"{folder}: no format of it is whole; remove the data set and build again")
        others = (path for one in READERS if one not in wanted for path in _paths(splits, one))
        unwanted = list(filter(os.path.exists, others))
        report = _Report(sum(split.num_examples for split in splits), progress)
        for one in wanted:
            if one not in had:
                _write(splits, folder, had[0], one, workers or default_workers(), report)
            elif unwanted:  # what stays alone must be whole
                _check(splits, one, report)
        if declared != wanted or not (folder / CHECKSUMS_FILE).exists():
            _declare(folder, wanted)
        for path in unwanted:
            os.unlink(path)
    return folder


class _Report:
    """Counts examples for a progress function."""

    def __init__(self, total: int, progress: Callable[[int, int], None] | None):
        self.done, self.total, self.progress = 0, total, progress

    def __call__(self, more: int) -> None:
        self.done += more
        if self.progress is not None:
            self.progress(self.done, self.total)


def _write(
    splits: Sequence[Any], folder: Path, stored: str, missing: str, workers: int, report: Callable[[int], None]
) -> None:
    """Write the shards of all splits in the format that is missing, in a folder beside, and move them in."""
    beside = folder.parent / f".{folder.name}-{os.getpid()}{UNFINISHED}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    sources = [StoredRecords(path, stored) for path in _paths(splits, stored)]
    targets = [beside / Path(path).name for path in _paths(splits, missing)]
    shards = [Shard(source, {missing: str(target)}) for source, target in zip(sources, targets, strict=True)]
    try:
        results = write_shards(shards, workers, report)
        for source, result, length in zip(sources, results, _lengths(splits), strict=True):
            _refuse_other_length(source, result.examples, length)
        for target in targets:
            _sync(target)
            os.replace(target, folder / target.name)
        _sync(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _check(splits: Sequence[Any], form: str, report: Callable[[int], None]) -> None:
    """Read the shards of all splits in a format; raise ArchiveError unless they are whole."""
    for path, length in zip(_paths(splits, form), _lengths(splits), strict=True):
        source = StoredRecords(path, form)
        _refuse_other_length(source, sum(1 for _ in source()), length)
        report(length)


def _refuse_other_length(source: StoredRecords, examples: int, length: int) -> None:
    if examples != length:
        raise ArchiveError(f"{source.path}: {examples} examples of {length}; build the data set again")


def _paths(splits: Sequence[Any], form: str) -> list[str]:
    """Return the files of splits in a format, shard by shard."""
    return [
        shard_files(split.filename_template, [form], index, len(split.shard_lengths))[form]
        for split in splits
        for index in range(len(split.shard_lengths))
    ]


def _lengths(splits: Sequence[Any]) -> list[int]:
    """Return the number of examples of every shard of splits."""
    return [length for split in splits for length in split.shard_lengths]


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk: what they are made from may be removed then."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _declare(folder: Path, formats: Sequence[str]) -> None:
    """Write down which formats the data have, as TFDS does, in one step."""
    info = json.loads(read_file(folder / INFO_FILE))
    info["fileFormat"], others = formats[0], list(formats[1:])
    info.pop("alternativeFileFormats", None)
    # TFDS writes the keys in this order.
    ordered = ({"alternativeFileFormats": others} if others else {}) | info
    (folder / CHECKSUMS_FILE).unlink(missing_ok=True)  # they are not checked until there are new ones
    new = folder / f"{INFO_FILE}{UNFINISHED}"
    new.write_text(json.dumps(ordered, indent=2), encoding="utf-8")
    os.replace(new, folder / INFO_FILE)
    write_checksums(folder)
