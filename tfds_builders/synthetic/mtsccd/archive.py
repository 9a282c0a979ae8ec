"""Plan a generated MtSCCD archive: pairs of each kind, their tiles and their files."""

import dataclasses
import itertools
import json
import math
from pathlib import Path

import numpy as np

from tfds_builders.catalog import ARCHIVES
from tfds_builders.mtsccd.archive import Listing, Scene
from tfds_builders.mtsccd.names import CITIES, CLASSES, SPLITS, City, SceneName, format_name
from tfds_builders.mtsccd.splits import split_pairs, split_scenes
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.synthetic.driver import check_scale

_KIND = ARCHIVES["mtsccd"]
SMALLEST_CITY = 8  # pairs; the least that leaves every split and class an image
_TRANSITIONS = Path(__file__).with_name("transitions.json")
_TRAINING_CITIES = [index for index, city in enumerate(CITIES) if city.role == "train"]


@dataclasses.dataclass(frozen=True)
class Tile:
    """One tile of one city with its class (0 to 9) at both dates; `number` is its place in the archive's order."""

    number: int
    city: City
    tile_x: int
    tile_y: int
    label_t1: int
    label_t2: int

    def label(self, phase: int) -> int:
        """Return the class of phase 1 or 2."""
        return self.label_t1 if phase == 1 else self.label_t2


def load_transitions() -> np.ndarray:
    """Return pairs[city, class_t1, class_t2] (int64, (5, 10, 10)) of the published archive, in the order of CITIES.

    The paper prints class counts per city and date (Table 2) and transitions over all cities (Table 5). The file holds
    one solution in integers that agrees with both, and with the changed pairs of the test cities.
    """
    pairs_of_city = json.loads(_TRANSITIONS.read_text(encoding="utf-8"))["pairs"]
    return np.array([pairs_of_city[city.name] for city in CITIES], dtype=np.int64)


def largest_remainder(quota_n: np.ndarray, total: int) -> np.ndarray:
    """Return int64 counts that sum to `total` and are in proportion to `quota_n`; ties go to the first.

    A count is the quota's whole part or one more. Where `quota_n` is all zero, so are the counts.
    """
    whole = quota_n.sum()
    if whole == 0:
        return np.zeros(len(quota_n), dtype=np.int64)
    share_n = quota_n * (total / whole)
    count_n: np.ndarray = np.floor(share_n + 1e-9).astype(np.int64)
    order = np.argsort(-(share_n - count_n), kind="stable")
    count_n[order[: total - int(count_n.sum())]] += 1
    return count_n


def pair_counts(scale: float) -> np.ndarray:
    """Return pairs[city, class_t1, class_t2] (int64, (5, 10, 10)) of an archive at `scale` (1: the published counts).

    Rounded by largest remainder: first the pairs of every city, then its changed and unchanged ones, then their
    classes. At very small scales a city keeps `SMALLEST_CITY` pairs, both kinds of them, and every class is seen in a
    training city.
    """
    check_scale(scale, _KIND)
    full_cij = load_transitions()
    city_c = full_cij.sum(axis=(1, 2))
    city_c = np.maximum(largest_remainder(city_c.astype(np.float64), round(scale * int(city_c.sum()))), SMALLEST_CITY)
    diagonal = np.eye(len(CLASSES), dtype=bool)
    counts_cij = np.zeros_like(full_cij)
    for city, pairs in enumerate(city_c.tolist()):
        kinds = (diagonal, ~diagonal)
        full_k = np.array([full_cij[city][kind].sum() for kind in kinds], dtype=np.float64)
        unchanged = min(int(largest_remainder(full_k, pairs)[0]), pairs - 1)
        for kind, total in zip(kinds, (unchanged, pairs - unchanged), strict=True):
            counts_cij[city][kind] = largest_remainder(full_cij[city][kind].astype(np.float64), total)
    _show_every_class(counts_cij, full_cij)
    return counts_cij


def _show_every_class(counts_cij: np.ndarray, full_cij: np.ndarray) -> None:
    """Move unchanged pairs, in place, until every class has one in a training city and no class loses its last."""
    classes = range(len(CLASSES))
    same_ck = counts_cij[:, classes, classes]
    train_ck = same_ck[_TRAINING_CITIES]
    for label in classes:
        if train_ck[:, label].sum() > 0:
            continue
        city = _TRAINING_CITIES[int(np.argmax(full_cij[_TRAINING_CITIES, label, label]))]
        spare_k = np.where(same_ck[_TRAINING_CITIES].sum(axis=0) > 1, same_ck[city], 0)
        donor = int(np.argmax(spare_k))
        same_ck[city, donor] -= 1
        same_ck[city, label] += 1
        train_ck = same_ck[_TRAINING_CITIES]
    counts_cij[:, classes, classes] = same_ck


def tiles(scale: float, seed: int) -> list[Tile]:
    """Return the tiles of an archive, city by city, on nearly square grids; `seed` draws which pair lies where."""
    result: list[Tile] = []
    for index, (city, counts_ij) in enumerate(zip(CITIES, pair_counts(scale), strict=True)):
        rng = np.random.default_rng((seed, index))
        kind_k2 = np.argwhere(counts_ij > 0)
        label_n2 = rng.permutation(np.repeat(kind_k2, counts_ij[tuple(kind_k2.T)], axis=0))
        side = math.isqrt(len(label_n2) - 1) + 1
        for at, (first, second) in enumerate(label_n2.tolist()):
            result.append(Tile(len(result), city, at % side + 1, at // side + 1, first, second))
    return result


@dataclasses.dataclass(frozen=True)
class Layout:
    """One way to lay out an archive in folders.

    `split_folders` name train, validation, test_a and test_b (empty: the archive has no splits); `folder` is filled in
    with `split`, `city`, `phase` (1 or 2), `number` and `name` of the class.
    """

    root: str
    folder: str
    split_folders: tuple[str, ...] = ()
    lists: bool = False  # also write one `path1 path2 label` list a split


# The layouts that the archive reader knows (`tfds_builders.mtsccd.archive`), by its numbers.
LAYOUTS: dict[int, Layout] = {
    1: Layout("MtSCCD_LUSC", "{split}/{number:02d}", ("train", "val", "testA", "testB")),
    2: Layout("MtSCCD_LUSC", "{split}/{name}", ("training", "validation", "test/A", "test/B")),
    3: Layout("MtSCCD_LUSC", "{split}", ("train", "val", "testA", "testB")),
    4: Layout("MtSCCD_LUCD", "{split}/T{phase}/{name}", ("train", "val", "testA", "testB")),
    5: Layout("MtSCCD_LUCD", "{split}", ("train", "val", "testA", "testB")),
    6: Layout("MtSCCD", "{city}/T{phase}/{name}"),
    7: Layout("MtSCCD_LUCD", "images", ("train", "val", "testA", "testB"), lists=True),
}


def find_layout(number: int) -> Layout:
    """Return the layout of that number."""
    if number not in LAYOUTS:
        raise ArchiveError(f"layout {number}: give one of {', '.join(map(str, LAYOUTS))}")
    return LAYOUTS[number]


def scene_paths(tile_list: list[Tile], layout: Layout) -> list[tuple[str, str]]:
    """Return the paths of both dates of every tile, relative to the archive's root folder."""
    split_of = _splits(tile_list, layout) if layout.split_folders else {}
    paths = []
    for tile in tile_list:
        both = []
        for phase in (1, 2):
            entry = CLASSES[tile.label(phase)]
            filename = format_name(tile.city, phase, tile.tile_x, tile.tile_y, entry.label)
            split = split_of.get(filename, "")
            kind = {"phase": phase, "number": entry.number, "name": entry.name}
            both.append(f"{layout.folder.format(split=split, city=tile.city.name, **kind)}/{filename}")
        paths.append((both[0], both[1]))
    return paths


def split_lists(tile_list: list[Tile], layout: Layout) -> dict[str, str]:
    """Return the list files of a layout that has them: name -> lines `path1 path2 label` (1: the class changed)."""
    if not layout.lists:
        return {}
    split_of = _splits(tile_list, layout)
    lines: dict[str, list[str]] = {f"{folder}.txt": [] for folder in layout.split_folders}
    for tile, (first, second) in zip(tile_list, scene_paths(tile_list, layout), strict=True):
        split = split_of[first.rpartition("/")[2]]
        lines[f"{split}.txt"].append(f"{first} {second} {int(tile.label_t1 != tile.label_t2)}")
    return {name: "".join(f"{line}\n" for line in content) for name, content in lines.items()}


def _splits(tile_list: list[Tile], layout: Layout) -> dict[str, str]:
    """Return the split folder of every file name, by the paper's rule for the layout's sub-set."""
    scenes = []
    for tile in tile_list:
        for phase in (1, 2):
            place = tile.tile_x, tile.tile_y, tile.label(phase)
            name = SceneName(tile.city.name, tile.city.dates[phase - 1], *place)
            scenes.append(Scene(format_name(tile.city, phase, *place), name, phase, None))
    listing = Listing(CITIES, scenes)
    if layout.root == "MtSCCD_LUSC":
        scenes_of_split = split_scenes(listing, paired=False, seed=0)
    else:
        pairs_of_split = split_pairs(listing, paired=False, seed=0)
        scenes_of_split = {split: list(itertools.chain(*pairs)) for split, pairs in pairs_of_split.items()}
    folders = dict(zip(SPLITS, layout.split_folders, strict=True))
    return {scene.filename: folders[split] for split, members in scenes_of_split.items() for scene in members}
