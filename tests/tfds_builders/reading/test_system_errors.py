"""A machine that cannot open another file is no fault of the file that comes next: nothing may call it damaged."""

import errno
import os
import resource
from contextlib import contextmanager, suppress
from pathlib import Path

import image_files
import numpy as np
import pytest
from pyarrow import parquet, table

from mtsccd_jax.data.folder_source import image_files as unlabelled
from mtsccd_jax.errors import InputError
from tfds_builders.bigearthnet_v1.patch_files import read_metadata as read_json
from tfds_builders.bigearthnet_v2.metadata import RECOMMENDED_TABLE, read_metadata
from tfds_builders.reading.archive import ArchiveError, open_archive
from tfds_builders.reading.geotiff import read_tiff
from tfds_builders.reading.images import load_image

PIXELS = np.zeros((8, 8), np.uint16)


@contextmanager
def no_more_files():
    """Let this process open no other file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def in_folder(path: Path):
    archive = open_archive(path.parent)
    return lambda: archive.read(path.name)


def in_source(path: Path):
    source = unlabelled(path.parent)
    return lambda: source[0]


READERS = {
    "image": lambda path: lambda: load_image(str(path), "x", (8, 8)),
    "band": lambda path: lambda: read_tiff(path, shape=(8, 8), dtype=np.uint16),
    "json": lambda path: lambda: read_json(str(path), "x"),
    "table": lambda path: lambda: read_metadata({RECOMMENDED_TABLE: path}),
    "archive": in_folder,
    "source": in_source,
}


@pytest.mark.parametrize("name", READERS)
def test_too_many_open_files_are_told_as_that(tmp_path, name):
    path = tmp_path / "a.tif"
    path.write_bytes(image_files.tiff(PIXELS, photometric="minisblack"))
    if name == "table":
        parquet.write_table(table({"a": [1]}), path)
    read = READERS[name](path)
    with suppress(ArchiveError, InputError):  # what it imports must not be the file that cannot be opened
        read()
    with no_more_files(), pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        read()
