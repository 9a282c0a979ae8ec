"""Names, configurations and the agreement of the published tables with one another."""

import numpy as np
import pytest
from archive_files import CLASSES, CODES, DATES

from tfds_builders import MtsccdConfig
from tfds_builders.mtsccd import tables
from tfds_builders.mtsccd.names import CITIES, City, SceneName, format_name, parse_cities_toml, parse_name
from tfds_builders.reading.archive import ArchiveError


def test_the_tables_agree_with_one_another():
    per_city = {city: np.array([tables.TABLE_2[city, phase] for phase in (1, 2)]) for city in CODES}
    table_5 = np.array(tables.TABLE_5)
    assert sum(counts.sum() for counts in per_city.values()) == tables.IMAGES == 65_548
    assert table_5.sum() == 32_774 == tables.IMAGES // 2
    assert np.trace(table_5) == 28_015
    np.testing.assert_array_equal(table_5.sum(axis=1), sum(counts[0] for counts in per_city.values()))
    np.testing.assert_array_equal(table_5.sum(axis=0), sum(counts[1] for counts in per_city.values()))
    train_cities = sum(per_city[city] for city in ("hangzhou", "shanghai", "wuhan"))
    np.testing.assert_array_equal(
        np.add(tables.TABLE_3["train"], tables.TABLE_3["validation"]), train_cities.sum(axis=0)
    )
    np.testing.assert_array_equal(tables.TABLE_3["test_a"], per_city["hefei"].sum(axis=0))
    np.testing.assert_array_equal(tables.TABLE_3["test_b"], per_city["nanjing"].sum(axis=0))
    for phase in (1, 2):
        both = np.add(tables.TABLE_4["train", phase], tables.TABLE_4["validation", phase])
        np.testing.assert_array_equal(both, train_cities[phase - 1])
        for split, city in (("test_a", "hefei"), ("test_b", "nanjing")):
            np.testing.assert_array_equal(tables.TABLE_4[split, phase], per_city[city][phase - 1])
    for split, pairs in tables.TABLE_4_PAIRS.items():
        assert sum(tables.TABLE_4[split, 1]) == sum(tables.TABLE_4[split, 2]) == pairs


@pytest.mark.parametrize("label", range(10))
def test_every_spelling_of_a_class_is_read(label):
    english, abbreviation, chinese = CLASSES[label]
    spellings = [
        str(label + 1),
        f"{label + 1:02}",
        english,
        english.replace("_", " ").title(),
        english.replace("_", "-"),
    ]
    for spelling in [*spellings, abbreviation, abbreviation.lower(), chinese]:
        assert parse_name(f"HZ_201310_3_4_{spelling}.jpg") == SceneName("hangzhou", "201310", 3, 4, label)


@pytest.mark.parametrize("spelling", ["HF", "hf", "Hefei", "HEFEI", "合肥"])
def test_every_spelling_of_a_city_is_read(spelling):
    assert parse_name(f"{spelling}_202110_007_12_10.TIFF") == SceneName("hefei", "202110", 7, 12, 9)


def test_names_are_written_as_they_are_read():
    for city in CITIES:
        for phase in (1, 2):
            name = format_name(city, phase, 12, 0, 9)
            assert name == f"{CODES[city.name]}_{DATES[city.code][phase - 1]}_12_0_10.jpg"
            assert parse_name(name) == SceneName(city.name, city.dates[phase - 1], 12, 0, 9)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("holiday.jpg", "not a name of the form"),
        ("HZ_201310_1_2.jpg", "not a name of the form"),
        ("HZ_2013_1_2_3.jpg", "not a name of the form"),
        ("HZ_201310_x_2_3.jpg", "not a name of the form"),
        ("XX_201310_1_2_3.jpg", r"unknown city 'XX' \(known: HZ, SH, WH, NJ, HF\).*cities\.toml"),
        ("HZ_201313_1_2_3.jpg", "'201313' is not a month"),
        ("HZ_201310_1_2_0.jpg", "unknown class '0'"),
        ("HZ_201310_1_2_11.jpg", "unknown class '11'"),
        ("HZ_201310_1_2_forest.jpg", "unknown class 'forest'"),
    ],
)
def test_other_names_are_refused_with_the_reason(name, reason):
    with pytest.raises(ArchiveError, match=reason):
        parse_name(name)


def test_added_cities_come_last_in_the_order_of_the_configuration():
    config = MtsccdConfig(name="more", train_cities=(City("suzhou", "SZ"),), test_cities=("wuxi", "wuhan"))
    cities = {city.name: city.role for city in config.cities((City("ningbo", "NB", role="test"),))}
    assert list(cities) == ["hangzhou", "shanghai", "wuhan", "nanjing", "hefei", "suzhou", "wuxi", "ningbo"]
    assert cities["suzhou"] == "train"
    assert [cities[name] for name in ("wuxi", "wuhan", "ningbo")] == ["test_wuxi", "test_wuhan", "test_ningbo"]
    assert (cities["hefei"], cities["nanjing"]) == ("test_a", "test_b")
    assert parse_name("sz_201501_1_1_2.jpg", config.cities()).city == "suzhou"
    assert parse_name("Wuxi_201501_1_1_2.jpg", config.cities()).city == "wuxi"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"train_cities": ("hefei",)}, "test_a of the paper"),
        ({"test_cities": ("nanjing",)}, "test_b of the paper"),
        ({"train_cities": ("suzhou",), "test_cities": ("suzhou",)}, "given twice"),
        ({"train_cities": ("苏州",)}, "a name has letters"),
        ({"train_cities": (City("suzhou", "HZ"),)}, "its code HZ is that of hangzhou"),
    ],
)
def test_contradicting_configurations_are_refused(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        MtsccdConfig(name="bad", **arguments)


def test_cities_toml_is_read():
    text = '[[city]]\nname = "suzhou"\ncode = "SZ"\nrole = "test"\nchinese = "苏州"\ndates = ["201305", "202003"]\n'
    (city,) = parse_cities_toml(text + "", "cities.toml")
    assert city == City("suzhou", "SZ", "苏州", ("201305", "202003"), "test")
    assert parse_cities_toml('[[city]]\nname = "a"\nrole = "train"', "x") == (City("a"),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[city]\n", "not valid TOML"),
        ("town = 1", r"\[\[city\]\] tables and nothing else"),
        ('city = "suzhou"', r"\[\[city\]\] tables"),
        ('[[city]]\nname = "a"\nrole = "train"\ncolour = "red"', "unknown key 'colour'"),
        ('[[city]]\nname = "a"', "needs a name and a role"),
        ('[[city]]\nname = 1\nrole = "train"', "texts in quotes"),
        ('[[city]]\nname = "a"\nrole = "train"\ndates = ["2013"]', "list of months"),
        ('[[city]]\nname = "a"\nrole = "train"\ndates = ["201301"]', "two dates"),
    ],
)
def test_a_wrong_cities_toml_is_named(text, reason):
    with pytest.raises(ArchiveError, match=rf"there/cities\.toml: .*{reason}"):
        parse_cities_toml(text, "there/cities.toml")
