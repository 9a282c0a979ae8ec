"""The file formats of a data set: which it has, and where its shards lie."""

import json
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.files import read_file

INFO_FILE = "dataset_info.json"  # TFDS writes it last
# What a user names -> the formats, the primary one first.
FORMATS = {"both": ("tfrecord", "array_record"), "tfrecord": ("tfrecord",), "array_record": ("array_record",)}


def formats_named(name: str) -> tuple[str, ...]:
    """Return the formats that a user names; raise ArchiveError for an unknown name."""
    if name not in FORMATS:
        raise ArchiveError(f"unknown format '{name}'; known are {', '.join(FORMATS)}")
    return FORMATS[name]


def formats_of(folder: Path) -> tuple[str, ...]:
    """Return the formats that the data in a folder have, the primary one first; nothing where none are built."""
    if not (folder / INFO_FILE).is_file():
        return ()
    info = json.loads(read_file(folder / INFO_FILE))
    return (info.get("fileFormat", "tfrecord"), *info.get("alternativeFileFormats", ()))


def lacks(name: str, data_set: str, data_dir: str | os.PathLike[str]) -> str:
    """Say that a data set ("name/config/version") lacks a format, and how to add it."""
    full_name = data_set.rpartition("/")[0] or data_set
    place = shlex.quote(os.fspath(data_dir))
    return f"has no {name} files; add them with: mtsccd-jax data convert {full_name} --format both --data-dir {place}"


def shard_files(template: Any, formats: Sequence[str], index: int, shards: int) -> dict[str, str]:
    """Return the path of a shard's file in each format, given TFDS's template of a split's file names."""
    return {
        name: os.fspath(
            template.replace(filetype_suffix=tfds.core.FileFormat.from_value(name).file_suffix).sharded_filepath(
                shard_index=index, num_shards=shards
            )
        )
        for name in formats
    }
