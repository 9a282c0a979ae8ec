"""Write generated archives of BigEarthNet v2: both sensors, reference maps, both metadata tables.

    write_archive("archive", scale=0.002)

The names are those of the real products, so that the official split rule and the overlap with v1 hold for them; at
scale 1 there are exactly as many patches of each product, country, split and kind as in the real tables, and as many
patches with each class in each split. What the patches show is drawn (see `land_cover`).
"""

import functools
import json
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfds_builders.bigearthnet.bands import S1_BANDS, S2_BANDS
from tfds_builders.bigearthnet.names import PATCHES_PER_SIDE, SPLITS, s1_scene, s2_v2_product
from tfds_builders.bigearthnet.nomenclature import CLASSES_19, CLC_CLASSES, UNLABELED_CODE
from tfds_builders.bigearthnet_v2.metadata import OTHERS_TABLE, RECOMMENDED_TABLE
from tfds_builders.bigearthnet_v2.patches import MAPS, S1, S2
from tfds_builders.bigearthnet_v2.reference_maps import MAP_SUFFIX
from tfds_builders.bigearthnet_v2.splits import split_of_patches
from tfds_builders.bigearthnet_v2.tables import CLOUD, PATCHES, PATCHES_OF_CLASS, RECOMMENDED, SNOW
from tfds_builders.catalog import ARCHIVES
from tfds_builders.synthetic.driver import Plan, check_scale, write_planned
from tfds_builders.synthetic.geotiff import upper_left, write_geotiff
from tfds_builders.synthetic.land_cover import GROUND_INDEX, SIDE, draw_regions, render_bands
from tfds_builders.synthetic.mtsccd.archive import largest_remainder

_KIND = ARCHIVES["bigearthnet_v2"]
ROOT = "BigEarthNet-v2.0"
_KINDS = (RECOMMENDED, SNOW, CLOUD)
# Enough recommended patches in a split for every class to be seen in it.
_FEWEST_RECOMMENDED = 8
_PRODUCTS_FILE = Path(__file__).with_name("reben_products.json")
_CODES_OF_CLASS = {
    index: [entry.code for entry in CLC_CLASSES if entry.class_19 == name] for index, name in enumerate(CLASSES_19)
}
_UNMAPPED_CODES = [entry.code for entry in CLC_CLASSES if entry.class_19 is None]
_UNMAPPED_SHARE, _UNLABELED_SHARE = 0.3, 0.1  # of the patches
_LARGEST_UNLABELED = 50  # pixels a side: 17 % of a patch; reBEN keeps patches below 25 %


@dataclass(frozen=True, slots=True)
class Product:
    """A Sentinel-2 product's patches in one country; `counts` are patches by kind, then by split."""

    name: str
    scene: str  # of Sentinel-1, the one with most of its patches
    v1_name: str  # of the product in v1
    country: str
    counts: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Patch:
    """One patch to write; `number` is its place in the archive's order, `classes` are indices in `CLASSES_19`."""

    number: int
    patch_id: str
    s1_name: str
    v1_name: str
    country: str
    split: int
    kind: str
    classes: tuple[int, ...]


@functools.cache
def load_products() -> tuple[Product, ...]:
    """Return the 115 products, one entry for each country that they lie in, counted from the official tables."""
    rows = json.loads(_PRODUCTS_FILE.read_text(encoding="utf-8"))
    return tuple(
        Product(name, scene, v1_name, country, tuple(tuple(counts[at : at + 3]) for at in (0, 3, 6)))
        for name, scene, v1_name, country, *counts in rows
    )


def patch_counts(scale: float) -> np.ndarray:
    """Return counts[product, kind, split] (int64) of an archive at `scale` (1: the published counts).

    Rounded by largest remainder within each kind and split; no kind and no split is ever empty.
    """
    check_scale(scale, _KIND)
    full_pks = np.array([product.counts for product in load_products()], dtype=np.int64)
    counts_pks = np.zeros_like(full_pks)
    for at, kind in enumerate(_KINDS):
        fewest = _FEWEST_RECOMMENDED if kind == RECOMMENDED else 1
        for split, published in enumerate(PATCHES[kind]):
            total = max(fewest, round(scale * published))
            counts_pks[:, at, split] = largest_remainder(full_pks[:, at, split].astype(np.float64), total)
    return counts_pks


def patches(scale: float, seed: int) -> list[Patch]:
    """Return the patches of an archive, sorted by name; `seed` draws where they lie and which classes they show."""
    places = _places(patch_counts(scale), seed)
    classes = _classes([(kind != RECOMMENDED, split) for _, kind, split, _, _ in places], seed)
    named = []
    for (product, kind, split, x, y), shown in zip(places, classes, strict=True):
        tile = product.name.rpartition("_T")[2]
        names = (f"{product.name}_{x:02d}_{y:02d}", f"{product.scene}_{tile}_{x}_{y}", f"{product.v1_name}_{x}_{y}")
        named.append((*names, product.country, split, kind, shown))
    return [Patch(number, *values) for number, values in enumerate(sorted(named))]


def _places(counts_pks: np.ndarray, seed: int) -> list[tuple[Product, str, int, int, int]]:
    """Return (product, kind, split, x, y) of every patch, each in the frame of the tile that its split demands."""
    x_n, y_n = np.divmod(np.arange(PATCHES_PER_SIDE**2), PATCHES_PER_SIDE)
    split_n = split_of_patches(x_n, y_n)
    free: dict[str, list[list[int]]] = {}
    places = []
    for product, counts_ks in zip(load_products(), counts_pks.tolist(), strict=True):
        if product.name not in free:
            rng = np.random.default_rng((seed, len(free)))
            free[product.name] = [rng.permutation(np.flatnonzero(split_n == at)).tolist() for at in range(len(SPLITS))]
        for kind, counts_s in zip(_KINDS, counts_ks, strict=True):
            for split, count in enumerate(counts_s):
                for _ in range(count):
                    place = free[product.name][split].pop()
                    places.append((product, kind, split, int(x_n[place]), int(y_n[place])))
    return places


def _classes(groups: list[tuple[bool, int]], seed: int) -> list[tuple[int, ...]]:
    """Return the classes of every patch; `groups` are (whether in the second table, split) of each.

    In each group a class is shown by its published share of the patches, and in the first table by one at least.
    """
    members: dict[tuple[bool, int], list[int]] = defaultdict(list)
    for at, group in enumerate(groups):
        members[group].append(at)
    result: list[tuple[int, ...]] = [()] * len(groups)
    for number, (group, rows) in enumerate(sorted(members.items())):
        other, split = group
        whole = sum(PATCHES[kind][split] for kind in _KINDS if (kind != RECOMMENDED) == other)
        count_k = [
            min(len(rows), max(0 if other else 1, round(PATCHES_OF_CLASS[name][other][split] * len(rows) / whole)))
            for name in CLASSES_19
        ]
        shown_nk = _dealt(count_k, len(rows), np.random.default_rng((seed, 1, number)))
        for row, shown_k in zip(rows, shown_nk, strict=True):
            result[row] = tuple(np.flatnonzero(shown_k).tolist())
    return result


def _dealt(count_k: list[int], patches_n: int, rng: np.random.Generator) -> np.ndarray:
    """Return shown[patch, class] (bool) with `count_k` patches for each class and a class for each patch.

    Where there are fewer labels than patches, the patches left over show the most frequent class.
    """
    shown_nk = np.zeros((patches_n, len(count_k)), dtype=bool)
    for index, count in enumerate(count_k):
        shown_nk[rng.choice(patches_n, size=count, replace=False), index] = True
    labels_n = shown_nk.sum(axis=1)
    empty = np.flatnonzero(labels_n == 0).tolist()
    # A patch without a class takes one from a patch that keeps another.
    for row, index in rng.permutation(np.argwhere(shown_nk)).tolist():
        if not empty:
            break
        if labels_n[row] > 1:
            shown_nk[row, index], labels_n[row] = False, labels_n[row] - 1
            shown_nk[empty.pop(), index] = True
    shown_nk[empty, int(np.argmax(count_k))] = True
    return shown_nk


def write_archive(
    out_dir: str | os.PathLike[str],
    *,
    scale: float = _KIND.scale,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write an archive below `out_dir` (`out_dir/BigEarthNet-v2.0/...`) and return its number of patches.

    A patch is 15 files, 305 kB. See `driver.write_planned` for errors and the other arguments.

    Args:
        out_dir: folder of the archive; made if need be.
        scale: share of the 549,488 patches, above 0 to 1.
        seed: draws what the patches show and where they lie, not how many there are of a kind.
        workers: number of processes.
        progress: called with (patches written, patches in all).
    """

    def plan() -> Plan[Patch]:
        return Plan(
            folder=ROOT,
            kind=_KIND,
            items=(listed := patches(scale, seed)),
            items_per_task=16,
            write_lists=functools.partial(_write_tables, listed),
            write_items=functools.partial(_write_patches, seed),
        )

    return write_planned(out_dir, plan, seed=seed, workers=workers, progress=progress)


def _write_patches(seed: int, root: Path, listed: Sequence[Patch]) -> None:
    """Draw each patch from (`seed`, its number) alone, and write it below `root`."""
    for patch in listed:
        rng = np.random.default_rng((seed, 2, patch.number))
        code_hw, index_hw = draw_map(patch.classes, rng)
        bands = render_bands(index_hw, rng, snow=patch.kind == SNOW, cloud=patch.kind == CLOUD)
        product, scene = s2_v2_product(patch.patch_id), s1_scene(patch.s1_name)
        zone = int(product.rpartition("_T")[2][:2])
        origin = upper_left(*map(int, patch.patch_id.rsplit("_", 2)[1:]))
        for kind, group, name, names in ((S2, product, patch.patch_id, S2_BANDS), (S1, scene, patch.s1_name, S1_BANDS)):
            folder = root / kind / group / name
            folder.mkdir(parents=True)
            nodata = 0 if kind == S2 else None
            for band in names:
                write_geotiff(folder / f"{name}_{band}.tif", bands[band], origin=origin, utm_zone=zone, nodata=nodata)
        folder = root / MAPS / product / patch.patch_id
        folder.mkdir(parents=True)
        path = folder / f"{patch.patch_id}{MAP_SUFFIX}.tif"
        write_geotiff(path, code_hw, origin=origin, utm_zone=zone, nodata=0, compressed=True)


def draw_map(classes: tuple[int, ...], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a reference map (CLC codes, uint16) that shows `classes`, and what lies there (index, uint8).

    Some maps also have ground of a CLC class that the 19 leave out, or a corner without any class.
    """
    ground = [GROUND_INDEX] if rng.random() < _UNMAPPED_SHARE else []
    index_hw = draw_regions([*classes, *ground], rng)
    code_of_index = np.zeros(GROUND_INDEX + 1, np.uint16)
    for index, codes in _CODES_OF_CLASS.items():
        code_of_index[index] = rng.choice(codes)
    code_of_index[GROUND_INDEX] = rng.choice(_UNMAPPED_CODES)
    code_hw = code_of_index[index_hw]
    if rng.random() < _UNLABELED_SHARE:
        high, wide = rng.integers(10, _LARGEST_UNLABELED, 2)
        corner_hw = code_hw.copy()
        corner_hw[:high, SIDE - wide :] = UNLABELED_CODE
        if set(np.unique(corner_hw)) == {*np.unique(code_hw).tolist(), UNLABELED_CODE}:  # no class goes with it
            code_hw = corner_hw
    return code_hw, index_hw


def _write_tables(listed: Sequence[Patch], root: Path) -> None:
    _write_table(root / RECOMMENDED_TABLE, [patch for patch in listed if patch.kind == RECOMMENDED])
    _write_table(root / OTHERS_TABLE, [patch for patch in listed if patch.kind != RECOMMENDED])


def _write_table(path: Path, rows: list[Patch]) -> None:
    """Write a metadata table with the columns of the official ones."""
    import pyarrow
    from pyarrow import parquet

    columns = {
        "patch_id": [patch.patch_id for patch in rows],
        "labels": [sorted(CLASSES_19[index] for index in patch.classes) for patch in rows],
        "split": [SPLITS[patch.split] for patch in rows],
        "country": [patch.country for patch in rows],
        "s1_name": [patch.s1_name for patch in rows],
        "s2v1_name": [patch.v1_name for patch in rows],
        "contains_seasonal_snow": [patch.kind == SNOW for patch in rows],
        "contains_cloud_or_shadow": [patch.kind == CLOUD for patch in rows],
    }
    parquet.write_table(pyarrow.table(columns), path, compression="zstd")
