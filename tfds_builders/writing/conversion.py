"""A data set that is built gets another file format, without its archive."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core import read_only_builder

from tfds_builders.checksums import damaged_file, unreadable, write_checksums
from tfds_builders.processors import default_workers
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.files import read_file
from tfds_builders.writing.building import UNFINISHED, building_alone
from tfds_builders.writing.formats import FORMATS, INFO_FILE, formats_of, shard_files
from tfds_builders.writing.pool import Shard, write_shards
from tfds_builders.writing.stored import StoredRecords


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
    place, wanted = Path(tfds.core.constants.DATA_DIR if data_dir is None else data_dir), FORMATS[formats]
    try:
        builder = read_only_builder.builder_from_files(name, data_dir=place)
    except tfds.core.DatasetNotFoundError as error:
        raise ArchiveError(f"data set '{name}' is not in {place}; build it with mtsccd-jax data build") from error
    except Exception as error:  # TFDS parses damaged files as if they were whole, and fails anywhere
        raise ArchiveError(f"{unreadable(name, place, error)}; build it again") from error
    folder = Path(builder.data_dir)
    with building_alone(folder):
        if wrong := damaged_file(folder):
            raise ArchiveError(f"{wrong}; remove the data set and build again")
        had = formats_of(folder)
        for missing in set(wanted) - set(had):
            _write(builder.info.splits.values(), folder, had[0], missing, workers or default_workers(), progress)
        if had != wanted:
            _declare(folder, wanted)
        for split in builder.info.splits.values():
            for path in _paths(split, [one for one in had if one not in wanted]):
                Path(path).unlink(missing_ok=True)
    return folder


def _write(
    splits: Sequence[Any],
    folder: Path,
    stored: str,
    missing: str,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write the shards of all splits in the format that is missing, in a folder beside, and move them in."""
    done, total = 0, sum(split.num_examples for split in splits)

    def report(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    beside = folder.parent / f".{folder.name}-{os.getpid()}{UNFINISHED}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    sources = [StoredRecords(path, stored) for split in splits for path in _paths(split, [stored])]
    targets = [beside / Path(path).name for split in splits for path in _paths(split, [missing])]
    shards = [Shard(source, {missing: str(target)}) for source, target in zip(sources, targets, strict=True)]
    lengths = [length for split in splits for length in split.shard_lengths]
    try:
        for source, result, length in zip(sources, write_shards(shards, workers, report), lengths, strict=True):
            if result.examples != length:
                raise ArchiveError(f"{source.path}: {result.examples} examples of {length}; build the data set again")
        for target in targets:
            os.replace(target, folder / target.name)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _paths(split: Any, formats: Sequence[str]) -> list[str]:
    """Return the files of a split in some formats, shard by shard."""
    shards = len(split.shard_lengths)
    template = split.filename_template
    return [path for index in range(shards) for path in shard_files(template, formats, index, shards).values()]


def _declare(folder: Path, formats: Sequence[str]) -> None:
    """Write down which formats the data have, as TFDS does, in one step."""
    info = json.loads(read_file(folder / INFO_FILE))
    info["fileFormat"], others = formats[0], list(formats[1:])
    info.pop("alternativeFileFormats", None)
    # TFDS writes the keys in this order.
    ordered = ({"alternativeFileFormats": others} if others else {}) | info
    new = folder / f"{INFO_FILE}{UNFINISHED}"
    new.write_text(json.dumps(ordered, indent=2), encoding="utf-8")
    os.replace(new, folder / INFO_FILE)
    write_checksums(folder)
