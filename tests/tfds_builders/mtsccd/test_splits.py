"""The split rule on the published counts, counted by hand here, and its laws."""

import random
from collections import Counter

import numpy as np
import pytest
from archive_files import name, names_with_counts, scenes

from tfds_builders.mtsccd.archive import list_scenes
from tfds_builders.mtsccd.names import CITIES, City, with_cities
from tfds_builders.mtsccd.splits import split_names, split_pairs, split_scenes, train_count
from tfds_builders.mtsccd.tables import CHANGED_PAIRS, TABLE_2, TABLE_3, TABLE_4, TABLE_4_PAIRS


@pytest.fixture(scope="module")
def published():
    return list_scenes(names_with_counts(TABLE_2), {}.__getitem__, subset="lusc")


def small_listing(tiles: int = 30, drop: tuple[str, ...] = (), prefix: str = "", subset: str = "lusc"):
    names = [prefix + name(code, date, x, y, c) for code, _, date, x, y, c in scenes(tiles)]
    return list_scenes([n for n in names if not n.endswith(drop or "never")], {}.__getitem__, subset=subset)


@pytest.mark.parametrize("seed", [0, 7])
def test_table_3_in_every_cell(published, seed):
    splits = split_scenes(published, paired=False, seed=seed)
    assert tuple(splits) == ("train", "validation", "test_a", "test_b")
    for split, counts in TABLE_3.items():
        found = Counter(scene.name.label for scene in splits[split])
        assert tuple(found[label] for label in range(10)) == counts
    assert len({scene.path for scenes in splits.values() for scene in scenes}) == 65_548


@pytest.mark.parametrize("paired", [False, True])
def test_table_4_in_totals_and_test_columns(published, paired):
    splits = split_pairs(published, paired=paired, seed=0)
    assert {split: len(pairs) for split, pairs in splits.items()} == TABLE_4_PAIRS
    for split in ("test_a", "test_b"):
        for phase in (1, 2):
            found = Counter(pair[phase - 1].name.label for pair in splits[split])
            assert tuple(found[label] for label in range(10)) == TABLE_4[split, phase]
    per_city = Counter(first.name.city for first, _ in splits["train"])
    assert per_city == {"hangzhou": 7465, "shanghai": 4961, "wuhan": 5682}
    assert set(CHANGED_PAIRS) == {"hefei", "nanjing"}


def test_the_rule_rounds_to_the_nearest():
    for n in range(1000):
        assert train_count(n) == int(np.floor(0.8 * n + 0.5))


@pytest.mark.parametrize("split", [split_scenes, split_pairs])
@pytest.mark.parametrize("paired", [False, True])
def test_splits_depend_on_the_seed_but_not_on_the_listing_order(split, paired):
    names = [name(code, date, x, y, c) for code, _, date, x, y, c in scenes(30)]
    shuffled = random.Random(0).sample(names, len(names))
    first, again = (list_scenes(n, {}.__getitem__, subset="lusc") for n in (names, shuffled))
    first.scenes.sort(key=lambda scene: scene.path, reverse=True)
    assert split(first, paired=paired, seed=0) == split(again, paired=paired, seed=0)
    other = split(again, paired=paired, seed=1)
    assert set(map(str, other["train"])) != set(map(str, split(again, paired=paired, seed=0)["train"]))


def test_names_of_files_do_not_move_tiles():
    as_jpg = split_scenes(small_listing(), paired=False, seed=0)
    as_other = split_scenes(small_listing(prefix="deep/folder/"), paired=False, seed=0)
    assert [[s.filename for s in scenes] for scenes in as_jpg.values()] == [
        [s.filename for s in scenes] for scenes in as_other.values()
    ]


def test_paired_keeps_both_dates_together_and_both_data_sets_agree():
    listing = small_listing(drop=("HZ_201810_0_0_2.jpg",))  # a tile with one date, which LUCD leaves out
    lusc = split_scenes(listing, paired=True, seed=0)
    lucd = split_pairs(small_listing(drop=("HZ_201810_0_0_2.jpg",)), paired=True, seed=0)
    split_of_tile = {first.tile: split for split, pairs in lucd.items() for first, _ in pairs}
    found: dict = {}
    for split, scenes_of_split in lusc.items():
        for scene in scenes_of_split:
            assert found.setdefault(scene.tile, split) == split
            assert split_of_tile.get(scene.tile, split) == split
    assert len(found) == len(split_of_tile) + 1
    # The official split tears some of these tiles apart: the difference is real.
    official = split_scenes(listing, paired=False, seed=0)
    train_tiles = {scene.tile for scene in official["train"]}
    assert train_tiles & {scene.tile for scene in official["validation"]}


def test_split_folders_win_over_the_rule():
    names = []
    for code, _, date, x, y, c in scenes(10):
        names.append(f"{'val' if x == 0 else 'train'}/{name(code, date, x, y, c)}" if code in ("HZ", "SH", "WH") else
                     f"test/{name(code, date, x, y, c)}")  # fmt: skip
    listing = list_scenes(names, {}.__getitem__, subset="lusc")
    assert {scene.name.tile_x for scene in split_scenes(listing, paired=False, seed=0)["validation"]} == {0}
    pairs = split_pairs(listing, paired=False, seed=0)
    assert {first.name.tile_x for first, _ in pairs["validation"]} == {0}
    assert not listing.bad
    paired = split_pairs(listing, paired=True, seed=0)
    assert len(paired["train"]) == 3 * 8  # 80 % of each city's pairs, whatever the folders say


def test_a_pair_torn_by_split_folders_is_bad_for_lucd_only():
    names = [
        f"{'train' if phase == 1 else 'val'}/{name(code, date, x, y, c)}" for code, phase, date, x, y, c in scenes(2)
    ]
    listing = list_scenes(names, {}.__getitem__, subset="lucd")
    split_scenes(listing, paired=False, seed=0)
    assert not listing.bad
    split_pairs(listing, paired=False, seed=0)
    assert len(listing.bad) == 6
    assert "dates lie in train and validation" in listing.bad[0]


def test_an_image_outside_the_split_folders_is_bad():
    names = [("" if (code, x, y) == ("HZ", 0, 0) else "train/") + name(code, date, x, y, c)
             for code, _, date, x, y, c in scenes(3)]  # fmt: skip
    listing = list_scenes(names, {}.__getitem__, subset="lusc")
    split_scenes(listing, paired=False, seed=0)
    assert [line.partition(":")[0] for line in listing.bad] == ["HZ_201310_0_0_1.jpg", "HZ_201810_0_0_2.jpg"]


def test_an_added_city_is_split_by_the_rule_beside_split_folders():
    cities = with_cities(CITIES, [City("suzhou", "SZ", role="train"), City("wuxi", "WX", role="test")])
    more = {"SZ": ("201501", "202001"), "WX": ("201502", "202002")}
    names = [
        f"train/{name(code, date, x, y, c)}" for code, _, date, x, y, c in scenes(10) if code in ("HZ", "SH", "WH")
    ]
    names += [name(code, date, x, y, c) for code, _, date, x, y, c in scenes(10, more)]
    listing = list_scenes(names, {}.__getitem__, subset="lucd", cities=cities)
    splits = split_pairs(listing, paired=False, seed=0)
    assert tuple(splits) == split_names(cities) == ("train", "validation", "test_a", "test_b", "test_wuxi")
    assert [len(splits[s]) for s in splits] == [30 + 8, 2, 0, 0, 10]
    assert not listing.bad
