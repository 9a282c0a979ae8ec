"""The seeded splits: their sizes, their share of every category, and what they do not depend on."""

from collections import Counter

import pytest

from tfds_builders.mlrsnet.config import CONFIGS, MlrsnetConfig
from tfds_builders.mlrsnet.names import CATEGORIES, IMAGES
from tfds_builders.mlrsnet.splits import in_proportion, split_rows


def rows_like(sizes: dict[str, int]) -> tuple[list[str], list[str]]:
    categories = [category for category, size in sizes.items() for _ in range(size)]
    return [f"{category}_{row:05d}.jpg" for row, category in enumerate(categories)], categories


def split(sizes: dict[str, int], train: int = 40, validation: int = 10, seed: int = 0) -> dict[str, list[int]]:
    return split_rows(*rows_like(sizes), train_percent=train, validation_percent=validation, seed=seed)


@pytest.fixture(scope="module")
def full_size():
    return {train: split(CATEGORIES, train) for train in (20, 30, 40)}


def test_full_size_splits_have_their_percentages_of_every_category(full_size):
    _, category_of_row = rows_like(CATEGORIES)
    sizes = {train: [len(rows) for rows in splits.values()] for train, splits in full_size.items()}
    assert sizes == {20: [21_832, 10_916, 76_413], 30: [32_748, 10_916, 65_497], 40: [43_664, 10_916, 54_581]}
    for train, splits in full_size.items():
        assert sorted(row for rows in splits.values() for row in rows) == list(range(IMAGES))
        for name, percent in (("train", train), ("validation", 10), ("test", 90 - train)):
            found = Counter(category_of_row[row] for row in splits[name])
            assert all(abs(found[c] - percent * size / 100) < 2 for c, size in CATEGORIES.items())


def test_full_size_splits_are_nested(full_size):
    assert full_size[20]["validation"] == full_size[30]["validation"] == full_size[40]["validation"]
    assert set(full_size[20]["train"]) < set(full_size[30]["train"]) < set(full_size[40]["train"])


@pytest.mark.parametrize("images", [3, 4, 7, 46, 47, 218])
def test_no_split_is_empty_at_any_scale(images):
    sizes = {category: max(0, count) for category, count in in_proportion(CATEGORIES, images).items()}
    for train in (20, 30, 40):
        splits = split(sizes, train)
        assert sum(map(len, splits.values())) == images
        assert all(splits.values())


def test_files_decide_and_neither_their_order_nor_the_listing():
    sizes = {"park": 30, "airport": 11}
    filenames, categories = rows_like(sizes)
    one = split(sizes)
    backwards = split_rows(filenames[::-1], categories[::-1], train_percent=40, validation_percent=10, seed=0)
    for name, rows in one.items():
        assert [filenames[row] for row in rows] == [filenames[::-1][row] for row in backwards[name]]
    assert split(sizes, seed=1) != one
    assert split(sizes) == one


def test_in_proportion_is_exact_and_never_above_a_size():
    sizes = {"a": 1, "b": 2, "c": 3, "d": 0, "e": 94}
    for total in range(101):
        counts = in_proportion(sizes, total)
        assert sum(counts.values()) == total
        assert all(abs(counts[name] - size * total / 100) < 1 and counts[name] <= size for name, size in sizes.items())
    assert in_proportion({"a": 0}, 0) == {"a": 0}


def test_configurations():
    assert [config.name for config in CONFIGS] == [
        "official",
        "corrected",
        "official_30_10_60",
        "corrected_30_10_60",
        "official_20_10_70",
        "corrected_20_10_70",
    ]
    assert (CONFIGS[0].labels, CONFIGS[0].train_percent, CONFIGS[0].validation_percent) == ("official", 40, 10)
    with pytest.raises(ValueError, match="labels 'fixed': give one of official, corrected"):
        MlrsnetConfig(name="mine", labels="fixed")
    with pytest.raises(ValueError, match="each split needs 1 percent"):
        MlrsnetConfig(name="mine", train_percent=90)
