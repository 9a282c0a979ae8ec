"""Reference maps: 19-class indices, the three kinds of pixels without a class, and shares."""

import json

import numpy as np
import pytest
import tifffile

from tfds_builders.bigearthnet.nomenclature import CLASSES_19
from tfds_builders.bigearthnet_v2.reference_maps import class_shares, index_map
from tfds_builders.reading.archive import ArchiveError

NO_DATA, UNMAPPED, UNLABELED = 253, 254, 255


def test_every_code_of_the_official_legend(real_data):
    legend = json.loads((real_data / "bigearthnet_v2" / "clc_metadata.json").read_text())["clc_data"]
    assert len(legend) == 45
    for entry in legend:
        code = int(entry["code"])
        (index,) = index_map(np.array([code], np.uint16)).tolist()
        if code == 999:
            assert index == UNLABELED
        elif entry["name_19"] == "UNLABELED":
            assert index == UNMAPPED
        else:
            assert CLASSES_19[index] == entry["name_19"]


def test_the_labels_of_a_real_map_are_those_of_its_patch(real_data):
    (path,) = (real_data / "bigearthnet_v2" / "Reference_Maps").glob("*/*/*.tif")
    index_hw = index_map(tifffile.imread(path))
    shares = class_shares(index_hw)
    labels = [CLASSES_19[at] for at in np.flatnonzero(shares.classes_k)]
    # metadata.parquet, S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57
    assert sorted(labels) == ["Arable land", "Broad-leaved forest", "Mixed forest", "Pastures"]
    assert (shares.unmapped, shares.unlabeled, shares.no_data) == (0, 0, 0)
    np.testing.assert_allclose(shares.classes_k.sum(), 1, rtol=1e-6)


def test_kinds_of_pixels_stay_apart():
    code_hw = np.array([[0, 122, 335], [999, 111, 112], [523, 523, 523]], np.uint16)
    index_hw = index_map(code_hw)
    np.testing.assert_array_equal(index_hw, [[NO_DATA, UNMAPPED, UNMAPPED], [UNLABELED, 0, 0], [18, 18, 18]])
    assert index_hw.dtype == np.uint8
    shares = class_shares(index_hw)
    assert (shares.no_data, shares.unmapped, shares.unlabeled) == (1 / 9, 2 / 9, 1 / 9)
    expected = np.zeros(19)
    expected[[0, 18]] = 2 / 9, 3 / 9
    np.testing.assert_allclose(shares.classes_k, expected, rtol=1e-6)


@pytest.mark.parametrize("code", [1, 110, 145, 998, 1000, 1001, 65_535])
def test_a_code_outside_the_nomenclature(code):
    code_hw = np.full((3, 3), 211, np.uint16)
    code_hw[1, 2] = code
    with pytest.raises(ArchiveError, match=f"code {code} is not in the CLC nomenclature"):
        index_map(code_hw)
