"""The guard against data sets that share images: what a network has learned from must not be its test.

Both BigEarthNets cut the same Sentinel-2 tiles into the same patches, but split them differently: of the 269,695
patches in the official train list of v1, 60,886 are test patches of v2 and 62,089 its validation patches; of the
272,544 train patches of v2, 56,532 are test patches of v1. Configurations of one data set may split it differently,
too: BigEarthNet v1 by its lists or at random, MLRSNet in three ratios. A network that is evaluated on what it has seen
is graded on what it learnt by heart, and no error would be seen.
"""

import functools
import json
import lzma
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tfds_builders.bigearthnet.names import is_s2_v1
from tfds_builders.bigearthnet_v2.splits import PATCHES_PER_SIDE
from tfds_builders.reading.archive import ArchiveError

V1, V2, MLRSNET = "bigearthnet_v1", "bigearthnet_v2", "mlrsnet"
# Made by `pack_names`: the official train list of v1 (269,695 names), and the v1 names of v2's train patches (272,544).
_TRAIN_FILES = {name: Path(__file__).with_name("bigearthnet") / f"{name[-2:]}_train.xz" for name in (V1, V2)}
_BYTES_PER_PRODUCT = (PATCHES_PER_SIDE**2 + 7) // 8


class LeakError(ArchiveError):
    """An evaluation was refused: the network has seen its test patches. One line with how many and what to do."""


def seen_in_training(data_set: str, v1_name_n: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return for each patch, by its name in v1, whether it is an official train patch of a BigEarthNet, bool (n,).

    Exact: the lists come with this package, as one bit for every place of every Sentinel-2 product.

    Args:
        data_set: "bigearthnet_v1" or "bigearthnet_v2" (the patches with snow, clouds and shadows among them).
        v1_name_n: patch names of v1 (feature `patch_id`), of v2's patches their `s2v1_name`.

    Raises:
        ArchiveError: something is not the name of a v1 patch.
    """
    bits = _train_patches(data_set)
    found = np.zeros(len(v1_name_n), dtype=bool)
    for at, name in enumerate(v1_name_n):
        product, place = _product_and_place(name.decode() if isinstance(name, bytes) else str(name))
        bits_p = bits.get(product)
        found[at] = bits_p is not None and bits_p[place]
    return found


def refuse_leak(
    *, trained_on: str, trained_split: str, evaluated_on: str, split: str, v1_name_n: Sequence[str] | np.ndarray
) -> None:
    """Return nothing if these weights may be evaluated on this split, and raises if they have seen some of it.

    Weights trained on the official train split of one BigEarthNet have seen those patches of the other that are in its
    list. What a configuration with another split, or another split than train, has shown to the weights is in no list:
    everything but the same configuration's splits is refused as a whole.

    Args:
        trained_on: what the weights were trained on, `data set/configuration`, such as "bigearthnet_v1/official".
        trained_split: the split they were trained on.
        evaluated_on: the data set (and configuration) of the evaluation.
        split: the split of the evaluation; a train split may be looked at by anyone.
        v1_name_n: of the patches of that split their names in v1; empty for other data sets than BigEarthNet.

    Raises:
        LeakError: the weights have, or may have, seen images that they would be evaluated on.
    """
    (trained, _, trained_config), (evaluated, _, config) = trained_on.partition("/"), evaluated_on.partition("/")
    groups = ({V1, V2}, {MLRSNET})
    if split.partition("[")[0] == "train" or not any({trained, evaluated} <= group for group in groups):
        return
    name, advice = f"{evaluated_on}, split '{split}'", f"train on {evaluated_on}'s own train split"
    from_train = trained_split.partition("[")[0] == "train" and "+" not in trained_split
    split_seen = _split_of(trained, trained_config)
    alike = trained_config == config or (split_seen is not None and split_seen == _split_of(evaluated, config))
    if trained == evaluated and from_train and alike:
        return
    if trained == evaluated or not from_train or split_seen != _OFFICIAL:
        if len(v1_name_n) or trained == MLRSNET:
            which = f"any of its {len(v1_name_n):,} patches" if len(v1_name_n) else "any of its images"
            raise LeakError(
                f"{name}: the weights were trained on '{trained_split}' of {trained_on}, which may hold {which}; "
                f"{advice}"
            )
        return
    seen = int(seen_in_training(trained, v1_name_n).sum())
    if seen:
        raise LeakError(
            f"{name}: {seen:,} of its {len(v1_name_n):,} patches are in the train split of {trained}, which the "
            f"weights were trained on; {advice}"
        )


def pack_names(names: Iterable[str]) -> bytes:
    """Return a list of v1 patch names as this package stores it.

    xz of one line of JSON (the product names, sorted) and for each product a bit for every place, row by row.

    Raises:
        ArchiveError: something is not the name of a v1 patch.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for name in names:
        product, place = _product_and_place(name)
        places[product].append(place)
    bits = np.zeros((len(places), PATCHES_PER_SIDE**2), dtype=bool)
    for row, product in enumerate(sorted(places)):
        bits[row, places[product]] = True
    header = json.dumps(sorted(places)).encode() + b"\n"
    return lzma.compress(header + np.packbits(bits, axis=1).tobytes(), preset=9)


def unpack_names(data: bytes) -> dict[str, np.ndarray]:
    """Return product -> bool (8281,) from what `pack_names` made: whether the list holds the patch of that place."""
    header, _, packed = lzma.decompress(data).partition(b"\n")
    products = json.loads(header)
    bits = np.frombuffer(packed, np.uint8).reshape(len(products), _BYTES_PER_PRODUCT)
    unpacked = np.unpackbits(bits, axis=1, count=PATCHES_PER_SIDE**2).astype(bool)
    return dict(zip(products, unpacked, strict=True))


# What tells the split of a configuration from others; None is like no other.
_OFFICIAL = ("official",)


def _split_of(data_set: str, config: str) -> tuple[object, ...] | None:
    """Return what is equal for configurations that split a data set alike; None for one that is not known."""
    from tfds_builders.bigearthnet_v1.config import CONFIGS as V1_CONFIGS
    from tfds_builders.mlrsnet.names import CONFIGS as MLRSNET_CONFIGS

    if data_set == V2 or not config:
        return _OFFICIAL  # the metadata tables', whichever patches are chosen; of the others the default's
    if data_set == V1:
        for known in V1_CONFIGS:
            if known.name == config:
                return _OFFICIAL if known.split == "official" else (known.split, known.keep_snow_and_cloud, known.seed)
        return None
    for mlrsnet in MLRSNET_CONFIGS:
        if mlrsnet.name == config:
            ratio = (mlrsnet.train_percent, mlrsnet.validation_percent, mlrsnet.seed)
            return _OFFICIAL if ratio == (40, 10, 0) else ratio
    return None


@functools.cache
def _train_patches(data_set: str) -> dict[str, np.ndarray]:
    return unpack_names(_TRAIN_FILES[data_set].read_bytes())


def _product_and_place(name: str) -> tuple[str, int]:
    """Return the product of a v1 name and row * 91 + column of the patch."""
    product, x, y = name.rsplit("_", 2) if is_s2_v1(name) else (name, PATCHES_PER_SIDE, 0)
    if max(int(x), int(y)) >= PATCHES_PER_SIDE:
        raise ArchiveError(f"'{name}' is not the name of a patch of {V1}")
    return product, int(y) * PATCHES_PER_SIDE + int(x)
