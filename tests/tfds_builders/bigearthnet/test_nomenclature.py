"""The nomenclature, the bands and the countries: laws, and agreement with the real metadata."""

import json

import numpy as np
import pytest

from tfds_builders import ArchiveError
from tfds_builders.bigearthnet.bands import (
    BANDS,
    BANDS_10M,
    BANDS_10M_20M,
    CHANNEL_SETS,
    S2_BANDS,
    V1_STATISTICS,
    V2_STATISTICS,
)
from tfds_builders.bigearthnet.countries import COUNTRIES, country_of
from tfds_builders.bigearthnet.label_sets import LABEL_SETS
from tfds_builders.bigearthnet.nomenclature import (
    CLASSES_19,
    CLASSES_43,
    CLC_CLASSES,
    CODE_OF_NAME,
    INDEX_19_OF_CODE,
)
from tfds_builders.bigearthnet_v1.tables import TABLE_2


def test_every_label_set_is_in_the_order_of_the_codes():
    codes = [entry.code for entry in CLC_CLASSES]
    assert codes == sorted(set(codes))
    assert {name: len(labels.classes) for name, labels in LABEL_SETS.items()} == {
        "43": 43,
        "19": 19,
        "clc_level_1": 5,
        "clc_level_2": 15,
    }
    for labels in LABEL_SETS.values():
        first = [min(CODE_OF_NAME[n] for n, c in labels.class_of.items() if c == name) for name in labels.classes]
        assert first == sorted(first)
        assert set(labels.class_of) == set(CLASSES_43)
    assert list(TABLE_2) == [CODE_OF_NAME[name] for name in CLASSES_43]


def test_the_19_classes_leave_out_eleven_of_the_43():
    assert CLASSES_19[:3] == ("Urban fabric", "Industrial or commercial units", "Arable land")
    kept = [entry.class_19 for entry in CLC_CLASSES if entry.name in CLASSES_43 and entry.class_19]
    assert len(CLASSES_43) - len(kept) == 11
    assert set(kept) == set(CLASSES_19)
    assert len(INDEX_19_OF_CODE) == 32
    assert INDEX_19_OF_CODE[523] == 18


@pytest.mark.parametrize(
    ("label_set", "expected"),
    [
        ("19", {"Urban fabric", "Inland waters"}),
        ("43", {"Water courses", "Airports", "Water bodies", "Continuous urban fabric"}),
        ("clc_level_1", {"Artificial surfaces", "Water bodies"}),
        ("clc_level_2", {"Urban fabric", "Industrial, commercial and transport units", "Inland waters"}),
    ],
)
def test_multi_hot_merges_and_drops(label_set, expected):
    labels = LABEL_SETS[label_set]
    vector = labels.multi_hot(["Water courses", "Airports", "Water bodies", "Continuous urban fabric"])
    assert vector.dtype == np.uint8
    assert {labels.classes[at] for at in np.flatnonzero(vector)} == expected


def test_labels_outside_the_nomenclature_are_refused():
    for wrong in ("Glaciers and perpetual snow", "water courses", "Urban fabric"):
        with pytest.raises(ArchiveError, match=f"label '{wrong}' is not in the nomenclature"):
            LABEL_SETS["43"].multi_hot([wrong])


def test_the_nomenclature_is_that_of_the_v2_metadata(real_data):
    said = json.loads((real_data / "bigearthnet_v2" / "clc_metadata.json").read_text())["clc_data"]
    known = {int(entry["code"]): (entry["name_clc"], entry["name_19"]) for entry in said}
    for entry in CLC_CLASSES:
        if entry.code in known:
            assert known[entry.code] == (entry.name, entry.class_19 or "UNLABELED")
    assert {entry.code for entry in CLC_CLASSES} - known.keys() <= {335}
    assert known.keys() - {entry.code for entry in CLC_CLASSES} <= {999}


def test_bands_and_their_sets():
    assert list(BANDS) == [*S2_BANDS, "VV", "VH"]
    sizes = {10: 120, 20: 60, 60: 20}
    assert all(band.shape == (sizes[band.metres],) * 2 for band in BANDS.values())
    assert set(BANDS_10M) == {name for name in S2_BANDS if BANDS[name].metres == 10}
    assert set(BANDS_10M_20M) == {name for name in S2_BANDS if BANDS[name].metres <= 20}
    assert {BANDS[name].dtype for name in S2_BANDS} == {"uint16"}
    for channels in CHANNEL_SETS.values():
        assert len(set(channels)) == len(channels)
        assert set(channels) <= BANDS.keys()
    for statistics in (V1_STATISTICS, V2_STATISTICS):
        assert statistics.keys() == BANDS.keys()
        assert all(entry.std > 0 for entry in statistics.values())


def test_countries_on_both_sides_of_a_border():
    assert country_of("35VPK", 0, 0) == "Finland"
    assert [country_of("31UGR", 17, y) for y in (0, 33, 34, 35, 40, 90)] == ["Belgium"] * 3 + ["Luxembourg"] * 3
    assert [country_of("34TEN", x, 62) for x in (0, 41, 42, 49, 50, 51, 52, 90)] == [
        *["Kosovo", "Kosovo", "Serbia", "Serbia"],
        *["Kosovo", "Kosovo", "Serbia", "Serbia"],
    ]
    assert country_of("34TEN", 0, 0) == "Serbia"
    assert country_of("34TEN", 0, 90) == "Kosovo"
    assert country_of("18TWL", 0, 0) is None


def test_countries_are_those_of_all_patches_of_v2(real_data):
    from pyarrow import parquet

    rows = set()
    for path in sorted((real_data / "bigearthnet_v2").glob("metadata*.parquet")):
        table = parquet.read_table(path, columns=["s1_name", "country"])
        rows |= {(*name.rsplit("_", 3)[1:], country) for name, country in zip(*table.to_pydict().values(), strict=True)}
    assert len(rows) > 200_000
    assert {country for *_, country in rows} == set(COUNTRIES)
    assert all(country_of(tile, int(x), int(y)) == country for tile, x, y, country in rows)
