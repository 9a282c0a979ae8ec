"""A part of several sources reads like a source of its own."""

import cv2
import numpy as np
import pytest

from mtsccd_jax.data.folder_source import folder_source
from mtsccd_jax.data.parts.subset import Subset

ROWS = (np.array([3, 0, 2]), np.array([], np.int64), np.array([1]))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Three splits of a folder of images, each of one grey."""
    root = tmp_path_factory.mktemp("folder")
    for number, split in enumerate(("train", "validation", "test")):
        for k in range(4):
            path = root / split / f"class_{k % 2}" / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((8, 8, 3), 50 * number + k, np.uint8))
    return [folder_source(root, split) for split in ("train", "validation", "test")]


@pytest.fixture(scope="module")
def subset(sources):
    return Subset(list(zip(sources, ROWS, strict=True)), "some")


def test_rows_are_those_of_the_sources_in_the_given_order(sources, subset):
    wanted = [source[row] for source, rows in zip(sources, ROWS, strict=True) for row in rows]
    assert len(subset) == len(wanted) == 4
    for rows in ([0, 1, 2, 3], [3, 0], [2], [3, 3, 1, 0, 1]):
        batch = subset.read(np.array(rows))
        assert set(batch) == set(subset.fields)
        for field, values in batch.items():
            np.testing.assert_array_equal(values, np.stack([wanted[row][field] for row in rows]))
        files = subset.encoded(np.array(rows))
        assert [cv2.imdecode(np.frombuffer(file, np.uint8), 1)[0, 0, 0] for file in files] == [
            wanted[row]["image"][0, 0, 0] for row in rows
        ]
    for field in ("label", "filename"):
        np.testing.assert_array_equal(subset.column(field), [row[field] for row in wanted])
    np.testing.assert_array_equal(subset[3]["image"], wanted[3]["image"])


@pytest.mark.parametrize("row", [-1, 4])
def test_there_are_no_other_rows(subset, row):
    with pytest.raises(IndexError):
        subset[row]


def test_the_fingerprint_is_of_sources_rows_and_split(sources, subset):
    other_rows = Subset([(sources[0], ROWS[0][::-1]), (sources[2], ROWS[2])], "some")
    other_source = Subset([(sources[1], ROWS[0]), (sources[2], ROWS[2])], "some")
    same = Subset([(sources[0], ROWS[0]), (sources[2], ROWS[2])], "some")
    other_split = Subset(list(zip(sources, ROWS, strict=True)), "other")
    prints = [part.fingerprint() for part in (subset, other_rows, other_source, other_split)]
    assert len(set(prints)) == 4
    assert same.fingerprint() == prints[0]
