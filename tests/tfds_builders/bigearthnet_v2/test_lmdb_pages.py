"""LMDBs cut short anywhere, and with odd values: told before they are mapped, where a missing page ends the process."""

import json

import bigearthnet_v2_files as files
import numpy as np
import pytest
from safetensors.numpy import save

from tfds_builders.bigearthnet_v2.lmdb_pages import check_pages
from tfds_builders.bigearthnet_v2.lmdb_patches import LmdbPatches, lmdb_keys
from tfds_builders.reading.archive import ArchiveError

lmdb = pytest.importorskip("lmdb")
PATCH_ID = files.names(0, 4)[0]
PAGE = 4096


@pytest.fixture
def file(tmp_path):
    return files.write_lmdb(tmp_path / "lmdb") / "data.mdb"


def test_a_file_cut_anywhere_is_incomplete(file):
    data = file.read_bytes()
    check_pages(file)
    for length in (0, 10, 100, PAGE, PAGE + 100, 2 * PAGE, 3 * PAGE, len(data) // 2, len(data) - PAGE, len(data) - 1):
        file.write_bytes(data[:length])
        with pytest.raises(ArchiveError, match=r"lmdb: (incomplete|no LMDB, a damaged one), .*; copy or download"):
            list(lmdb_keys(str(file.parent)))


def test_pages_at_the_end_that_are_not_in_use_may_be_missing(tmp_path):
    place = tmp_path / "lmdb"
    with lmdb.open(str(place), map_size=1 << 26) as environment:
        with environment.begin(write=True) as transaction:
            transaction.put(b"kept", bytes(9 * PAGE))
            transaction.put(b"gone", bytes(9 * PAGE))
            transaction.delete(b"gone")
        last = environment.info()["last_pgno"]
    file = place / "data.mdb"
    data = file.read_bytes()
    shortest = next(pages for pages in range(last + 1) if _is_whole(file, data[: pages * PAGE]))
    assert shortest < last, "the pages of `gone` are not needed"
    with lmdb.open(str(place), readonly=True, lock=False) as environment, environment.begin() as transaction:
        assert transaction.get(b"kept") == bytes(9 * PAGE)


def _is_whole(file, data):
    file.write_bytes(data)
    try:
        check_pages(file)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ({"VV": {"dtype": "F32", "shape": [120, 120], "data_offsets": [0, 1e999]}}, "cannot convert float infinity"),
        ("[" * 100_000, "no header"),
        ('{"a":' + "[" * 100_000, "maximum recursion depth"),
        ({"VV": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 4]}}, "is not where its header says"),
        ({"VV": {"dtype": "F32", "shape": "ab", "data_offsets": [0, 4]}}, ""),
        ({"VV": [1, 2]}, ""),
    ],
)
def test_headers_that_no_program_writes(tmp_path, header, why):
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    value = len(text).to_bytes(8, "little") + text + bytes(4)
    place = files.write_lmdb(tmp_path / "lmdb", {PATCH_ID.encode(): value})
    with pytest.raises(ArchiveError, match=rf"'{PATCH_ID}': its value is not in the safetensors format \(.*{why}"):
        LmdbPatches(str(place)).bands(PATCH_ID, ("VV",))


def test_a_value_that_is_far_too_long_is_not_read(tmp_path):
    place = files.write_lmdb(tmp_path / "lmdb", {PATCH_ID.encode(): save({"B02": np.zeros(1 << 23, np.uint16)})})
    with pytest.raises(ArchiveError, match=r"16,777,\d+ bytes are no patch; copy or download"):
        LmdbPatches(str(place)).bands(PATCH_ID, files.S2_BANDS)
