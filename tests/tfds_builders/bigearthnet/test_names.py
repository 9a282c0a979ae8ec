"""Names of patches as they really are."""

import bz2
from collections import Counter

import pytest

from tfds_builders import ArchiveError
from tfds_builders.bigearthnet.names import (
    S1_NAME,
    S2_V1_NAME,
    S2_V2_NAME,
    SEASONS,
    s1_scene,
    s2_v2_product,
)
from tfds_builders.bigearthnet_v1.tables import LIST_PATCHES, PATCHES, SEASON_PATCHES

V1 = "S2B_MSIL2A_20180204T94161_57_38"
V2 = "S2B_MSIL2A_20180204T094159_N9999_R036_T35VPK_57_08"
S1 = "S1A_IW_GRDH_1SDV_20180204T043253_35VPK_57_8"


def test_times_may_lack_a_zero_and_seconds_run_over():
    name = S2_V1_NAME.parse(V1)
    assert (name.platform, name.tile, name.x, name.y, name.season) == ("S2B", None, 57, 38, "winter")
    assert name.acquired == "2018-02-04T09:42:01"
    assert S2_V1_NAME.parse("S2A_MSIL2A_20170905T95032_0_90").acquired == "2017-09-05T09:50:32"
    assert S2_V1_NAME.parse("S2B_MSIL2A_20171231T235999_0_0").acquired == "2018-01-01T00:00:39"


def test_the_other_names():
    name = S2_V2_NAME.parse(V2)
    assert (name.platform, name.tile, name.x, name.y, name.acquired) == ("S2B", "35VPK", 57, 8, "2018-02-04T09:41:59")
    assert s2_v2_product(V2) == "S2B_MSIL2A_20180204T094159_N9999_R036_T35VPK"
    name = S1_NAME.parse(S1)
    assert (name.platform, name.tile, name.x, name.y, name.acquired) == ("S1A", "35VPK", 57, 8, "2018-02-04T04:32:53")
    assert s1_scene(S1) == "S1A_IW_GRDH_1SDV_20180204T043253"
    forms = [(S2_V1_NAME.fits(name), S2_V2_NAME.fits(name), S1_NAME.fits(name)) for name in (V1, V2, S1, "labels")]
    assert forms == [(True, False, False), (False, True, False), (False, False, True), (False, False, False)]


@pytest.mark.parametrize("month", range(1, 13))
def test_seasons_are_meteorological(month):
    expected = {12: 0, 1: 0, 2: 0, 3: 1, 4: 1, 5: 1, 6: 2, 7: 2, 8: 2}.get(month, 3)
    assert S2_V1_NAME.parse(f"S2A_MSIL2A_2017{month:02d}15T101010_1_1").season == SEASONS[expected]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("S2A_MSIL2A_20170231T101010_1_1", "'20170231' is no date"),
        ("S2A_MSIL2A_20170201T250000_1_1", "'250000' is no time of day"),
        ("S2A_MSIL2A_20170201T101010_91_1", "patch 91, 1 lies outside its tile"),
        ("S2A_MSIL2A_20170201T1010_1_1", "not the name of a patch"),
        ("S2C_MSIL2A_20170201T101010_1_1", "not the name of a patch"),
        (V2, "not the name of a patch"),
        (f"{V1}_B02", "not the name of a patch"),
        ("", "not the name of a patch"),
    ],
)
def test_other_names_are_errors(name, reason):
    with pytest.raises(ArchiveError, match=f"^{name}: {reason}"):
        S2_V1_NAME.parse(name)


def test_the_padding_of_x_and_y_is_part_of_the_name():
    for name in (V2.replace("57_08", "57_8"), S1):
        with pytest.raises(ArchiveError):
            S2_V2_NAME.parse(name)


def test_all_names_of_v1_parse_to_the_published_counts(real_data):
    lists = sorted((real_data / "bigearthnet_v1" / "lists").iterdir())
    names = {path.name: bz2.decompress(path.read_bytes()).decode().split() for path in lists}
    assert [len(names[f"{split}.csv.bz2"]) for split in ("train", "val", "test")] == list(LIST_PATCHES.values())[:3]
    every = set().union(*names.values())
    assert len(every) == PATCHES
    assert Counter(S2_V1_NAME.parse(name).season for name in every) == SEASON_PATCHES
