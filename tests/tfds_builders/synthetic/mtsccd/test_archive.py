from collections import Counter

import numpy as np
import pytest

from tfds_builders.mtsccd.archive import list_scenes
from tfds_builders.mtsccd.names import CITIES, parse_name
from tfds_builders.mtsccd.splits import split_pairs, split_scenes
from tfds_builders.mtsccd.tables import TABLE_3, TABLE_4_PAIRS
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.synthetic.mtsccd import archive

SCALES = (1e-9, 1e-3, 0.0017, 0.004, 0.02, 0.1234, 0.5, 0.999)


def _largest_remainder_by_hand(quota, total):
    """Hand out whole shares, then one each to the largest rests."""
    shares = [q * total / sum(quota) for q in quota]
    counts = [int(share + 1e-9) for share in shares]
    while sum(counts) < total:
        rests = [share - count if count <= share else -1.0 for share, count in zip(shares, counts, strict=True)]
        counts[rests.index(max(rests))] += 1
    return counts


def test_largest_remainder():
    rng = np.random.default_rng(0)
    for _ in range(200):
        quota = rng.uniform(0, 60, size=rng.integers(1, 12))
        total = int(rng.integers(0, 80))
        counts = archive.largest_remainder(quota, total)
        assert counts.sum() == total
        assert (np.abs(counts - quota * total / quota.sum()) < 1).all()
        np.testing.assert_array_equal(np.sort(counts), np.sort(_largest_remainder_by_hand(quota.tolist(), total)))
    assert archive.largest_remainder(np.zeros(3), 5).tolist() == [0, 0, 0]


def test_scale_one_is_the_published_data_set():
    np.testing.assert_array_equal(archive.pair_counts(1.0), archive.load_transitions())


@pytest.mark.parametrize("scale", SCALES)
def test_pair_counts_at_any_scale(scale):
    full, counts = archive.load_transitions(), archive.pair_counts(scale)
    city_c = counts.sum(axis=(1, 2))
    assert (counts[full == 0] == 0).all()
    assert (city_c >= archive.SMALLEST_CITY).all()
    if scale * full.sum(axis=(1, 2)).min() > archive.SMALLEST_CITY:
        assert counts.sum() == round(scale * 32774)
        assert (np.abs(city_c - scale * full.sum(axis=(1, 2))) < 1).all()
    changed_c = city_c - np.trace(counts, axis1=1, axis2=2)
    full_changed_c = full.sum(axis=(1, 2)) - np.trace(full, axis1=1, axis2=2)
    assert (changed_c >= 1).all()
    assert (np.abs(changed_c - city_c * full_changed_c / full.sum(axis=(1, 2))) <= 1).all()
    training = [index for index, city in enumerate(CITIES) if city.role == "train"]
    assert (counts[training].sum(axis=(0, 1)) + counts[training].sum(axis=(0, 2)) > 0).all()


@pytest.mark.parametrize("scale", SCALES[:5])
def test_no_split_is_empty(scale):
    paths = [path for both in archive.scene_paths(archive.tiles(scale, 3), archive.LAYOUTS[6]) for path in both]
    listing = list_scenes(paths, lambda _: b"", subset="lusc")
    assert not listing.errors
    assert not listing.unpaired
    for paired in (False, True):
        for seed in range(3):
            assert all(split_scenes(listing, paired=paired, seed=seed).values())
            assert all(split_pairs(listing, paired=paired, seed=seed).values())
    labels = {scene.name.label for scene in split_scenes(listing, paired=False, seed=0)["train"]}
    assert labels == set(range(10))


def test_the_seed_moves_tiles_but_not_counts():
    def kinds(tile_list):
        return Counter((tile.city.name, tile.label_t1, tile.label_t2) for tile in tile_list)

    first, again, other = archive.tiles(0.01, 0), archive.tiles(0.01, 0), archive.tiles(0.01, 1)
    assert first == again
    assert first != other
    assert kinds(first) == kinds(other)
    assert len({(tile.city.name, tile.tile_x, tile.tile_y) for tile in first}) == len(first)
    assert [tile.number for tile in first] == list(range(len(first)))
    side_of_city = Counter(tile.city.name for tile in first)
    for tile in first:
        assert min(tile.tile_x, tile.tile_y) >= 1
        assert max(tile.tile_x, tile.tile_y) <= np.sqrt(side_of_city[tile.city.name]) + 1


def test_unknown_layout():
    with pytest.raises(ArchiveError, match="layout 8: give one of 1, 2, 3, 4, 5, 6, 7"):
        archive.find_layout(8)


def test_split_folders_follow_the_papers_rule_at_scale_one():
    tile_list = archive.tiles(1.0, 0)
    splits = {"train": "train", "val": "validation", "testA": "test_a", "testB": "test_b"}
    found = {split: [0] * 10 for split in splits.values()}
    for both in archive.scene_paths(tile_list, archive.LAYOUTS[3]):
        for path in both:
            folder, name = path.split("/")
            found[splits[folder]][parse_name(name).label] += 1
    assert {split: tuple(counts) for split, counts in found.items()} == TABLE_3
    pairs = Counter(first.partition("/")[0] for first, _ in archive.scene_paths(tile_list, archive.LAYOUTS[5]))
    assert {splits[folder]: count for folder, count in pairs.items()} == TABLE_4_PAIRS


def test_lists_name_both_dates_and_the_change():
    tile_list = archive.tiles(0.003, 0)
    lists = archive.split_lists(tile_list, archive.LAYOUTS[7])
    assert sorted(lists) == ["testA.txt", "testB.txt", "train.txt", "val.txt"]
    lines = [line.split(" ") for text in lists.values() for line in text.splitlines()]
    assert len(lines) == len(tile_list)
    for first, second, changed in lines:
        names = [parse_name(path.removeprefix("images/")) for path in (first, second)]
        assert (names[0].city, names[0].tile_x, names[0].tile_y) == (names[1].city, names[1].tile_x, names[1].tile_y)
        assert names[0].date < names[1].date
        assert int(changed) == (names[0].label != names[1].label)
    assert archive.split_lists(tile_list, archive.LAYOUTS[5]) == {}
