"""LMDBs as LMDB's own library writes them, cut short anywhere, damaged anywhere, and with odd values."""

import itertools
import json
import os
import random

import bigearthnet_v2_files as files
import numpy as np
import pytest
from safetensors.numpy import save

from tfds_builders.bigearthnet_v2.archive import find_patches, open_v2
from tfds_builders.bigearthnet_v2.lmdb_pages import LmdbFile
from tfds_builders.bigearthnet_v2.lmdb_patches import LmdbPatches, lmdb_keys
from tfds_builders.bigearthnet_v2.patches import MAPS, S1, S2
from tfds_builders.reading.archive import ArchiveError

lmdb = pytest.importorskip("lmdb")
PATCH_ID = files.names(0, 4)[0]
PAGE = 4096


@pytest.fixture
def file(tmp_path):
    return files.write_lmdb(tmp_path / "lmdb") / "data.mdb"


def changes(seed):
    """Yield keys and their values, None for one that is deleted; short and long ones, often of the same keys."""
    chance = random.Random(seed)
    for _ in range(chance.choice((0, 1, 40, 3000))):
        key = chance.randbytes(chance.choice((1, 2, 60, 511))) if chance.random() < 0.8 else b"again"
        yield key, chance.choice((b"", chance.randbytes(30), bytes(PAGE // 2), chance.randbytes(5 * PAGE), None))


@pytest.mark.parametrize("seed", range(8))
def test_keys_and_values_are_those_of_the_library(tmp_path, seed):
    with lmdb.open(str(tmp_path / "lmdb"), map_size=1 << 28, sync=False) as environment:
        for _, some in itertools.groupby(enumerate(changes(seed)), key=lambda change: change[0] // 500):
            with environment.begin(write=True) as transaction:
                for _, (key, value) in some:
                    transaction.delete(key) if value is None else transaction.put(key, value)
        with environment.begin() as transaction:
            expected = {bytes(key): bytes(value) for key, value in transaction.cursor()}
    read = LmdbFile(str(tmp_path / "lmdb" / "data.mdb"))
    keys = list(read.keys())
    assert keys == list(expected)
    assert {key: read.read(*read.find(key)) for key in keys} == expected
    assert read.find(b"no such key") is read.find(b"") is read.find(b"\xff" * 511) is None


def test_a_file_cut_anywhere_is_incomplete(file):
    data = file.read_bytes()
    for length in (0, 10, 100, PAGE, PAGE + 100, 2 * PAGE, 3 * PAGE, len(data) // 2, len(data) - PAGE):
        file.write_bytes(data[:length])
        with pytest.raises(ArchiveError, match=r"data\.mdb: (incomplete|no LMDB, a damaged one), .*; copy or download"):
            list(lmdb_keys(str(file.parent)))


def test_pages_at_the_end_that_are_not_in_use_may_be_missing(tmp_path):
    with lmdb.open(str(tmp_path / "lmdb"), map_size=1 << 26) as environment:
        with environment.begin(write=True) as transaction:
            transaction.put(b"kept", bytes(9 * PAGE))
            transaction.put(b"gone", bytes(9 * PAGE))
            transaction.delete(b"gone")
        last = environment.info()["last_pgno"]
    file = tmp_path / "lmdb" / "data.mdb"
    data = file.read_bytes()
    shortest = next(pages for pages in range(last + 1) if _is_whole(file, data[: pages * PAGE]))
    assert shortest < last, "the pages of `gone` are not needed"
    read = LmdbFile(str(file))
    assert read.read(*read.find(b"kept")) == bytes(9 * PAGE)


def test_a_tree_behind_the_end_of_all_files_is_told(file):
    data = bytearray(file.read_bytes())
    for meta in (0, PAGE):
        data[meta + 128 : meta + 144] = (1 << 62).to_bytes(8, "little") * 2  # root and last page
    file.write_bytes(data)
    with pytest.raises(ArchiveError, match=r"data\.mdb: (incomplete|damaged), "):
        list(lmdb_keys(str(file.parent)))


def _is_whole(file, data):
    file.write_bytes(data)
    try:
        return list(LmdbFile(str(file)).keys()) == [b"kept"]
    except ArchiveError:
        return False


def contents(folder):
    """Return the pixels of every patch that is found, or why there are none."""
    try:
        archive = open_v2(folder)
        found = find_patches(archive, (S2, S1, MAPS))
        pixels = {}
        for kind, bands in ((S2, files.S2_BANDS), (S1, files.S1_BANDS)):
            for name in found[kind].names.tolist():
                pixels[name] = archive.patches.bands(name.decode(), bands)
        for name in found[MAPS].names.tolist():
            pixels[name, MAPS] = archive.patches.reference_map(name.decode())
        return pixels
    except ArchiveError as error:
        return str(error)


def flipped(data, place, chance):
    data[place] ^= 1 << chance.randrange(8)


def overwritten(data, place, chance):
    data[place : place + 8] = chance.choice((bytes(8), b"\xff" * 8, chance.randbytes(8)))


def page_of_another(data, place, chance):
    other = chance.randrange(len(data) // PAGE) * PAGE
    start = place // PAGE * PAGE
    data[start : start + PAGE] = data[other : other + PAGE]


@pytest.mark.parametrize("damage", [flipped, overwritten, page_of_another])
def test_a_damaged_page_is_told_or_every_patch_is_as_it_was(file, damage):
    """Of all bytes but the pixels, which LMDB has no checksums of."""
    data, read, chance = file.read_bytes(), LmdbFile(str(file)), random.Random(0)
    is_pixel = np.zeros(len(data), bool)
    for key in list(read.keys()):
        place, size = read.find(key)
        is_pixel[place + 8 + int.from_bytes(data[place : place + 8], "little") : place + size] = True
    if damage is page_of_another:
        is_pixel = np.repeat(is_pixel.reshape(-1, PAGE).any(1), PAGE)
    files.write_tables(file.parent)
    expected, told = contents(file.parent), 0
    for number, place in enumerate(chance.choices(np.flatnonzero(~is_pixel).tolist(), k=200)):
        damaged = bytearray(data)
        damage(damaged, place, chance)
        file.write_bytes(damaged)
        os.utime(file, (number, number))  # written in another moment, whatever the clock's steps
        found = contents(file.parent)
        told += isinstance(found, str)
        if isinstance(found, str):
            assert len(found.splitlines()) == 1
        else:
            same = [name for name in expected if found.get(name) == expected[name]]
            assert len(same) >= len(expected) - 1, "the key of one may be another now, which the tables tell"
            assert found.keys() & expected.keys() == set(same)
    assert told > 15


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
