"""Names and numbers as the report writes them."""

import pytest

from mtsccd_jax.report import text


@pytest.mark.parametrize(
    ("split", "dataset", "long", "short"),
    [
        ("test_a", "mtsccd_lusc/official", "Hefei (test A)", "Hefei"),
        ("test_suzhou", "mtsccd_lucd/mine", "Suzhou (test)", "test suzhou"),
        ("test_a", "folder:My_set", "My_set test a", "My_set test a"),
        ("test", "folder:EuroSAT", "EuroSAT test", "EuroSAT"),
        ("test", "eurosat/rgb", "eurosat test", "eurosat"),
        ("test_a", "", "test a", "test a"),
        ("validation", "mtsccd_lusc/official", "validation", "validation"),
        ("test", "mlrsnet/official", "MLRSNet test", "MLRSNet"),
    ],
)
def test_names_of_splits(split, dataset, long, short):
    assert (text.split_name(split, dataset), text.short_split(split, dataset)) == (long, short)


def test_names_of_classes():
    assert text.short_class_names(["water_body", "bare_land"]) == ["WB", "BL"]
    assert text.short_class_names(["water_body", "AnnualCrop"]) == ["water_body", "AnnualCrop"]
    written = ["AnnualCrop", "annual_crop", "SeaLake", "sparse residential area", "水体"]
    assert list(map(text.class_name, written)) == written
    assert text.class_name("water_body") == "Water body", "MtSCCD's are ours to write"
    long = text.short_class_names(["a very long class name", "a very long class tail"])
    assert len(set(long)) == 2
    assert max(map(len, long)) <= 12


@pytest.mark.parametrize(
    ("metric", "title"), [("oa", "OA"), ("precision_at_10", "P@10"), ("map_at_5", "mAP@5"), ("a_new_one", "a_new_one")]
)
def test_metrics_have_titles_or_their_own_names(metric, title):
    assert text.metric_name(metric) == title


@pytest.mark.parametrize(
    ("value", "expected"), [(0.12345, "0.123"), (-0.5, "−0.500"), (None, "–"), (float("nan"), "–"), (0.0, "0.000")]
)
def test_numbers(value, expected):
    assert text.number(value) == expected
