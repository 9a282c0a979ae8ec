"""Which patches are in the official train split of each BigEarthNet, by their names in v1.

The lists come with this package, as one bit for every place of every Sentinel-2 product: the official train list of v1
(269,695 names), and the v1 names of v2's train patches (272,544).
"""

import functools
import json
import lzma
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfds_builders.bigearthnet.names import PATCHES_PER_SIDE, S2_V1_NAME
from tfds_builders.reading.archive import ArchiveError

_FILE_OF_DATA_SET = {"bigearthnet_v1": "v1_train.xz", "bigearthnet_v2": "v2_train.xz"}
_BYTES_PER_PRODUCT = (PATCHES_PER_SIDE**2 + 7) // 8


def seen_in_training(data_set: str, v1_name_n: Sequence[str] | np.ndarray) -> np.ndarray:
    """Return for each patch, by its name in v1, whether it is an official train patch of a BigEarthNet, bool (n,).

    Args:
        data_set: "bigearthnet_v1" or "bigearthnet_v2" (the patches with snow, clouds and shadows among them).
        v1_name_n: patch names of v1 (feature `patch_id`), of v2's patches their `s2v1_name`.
    """
    bits = _train_patches(data_set)
    found = np.zeros(len(v1_name_n), dtype=bool)
    for at, name in enumerate(v1_name_n):
        product, place = product_and_place(name.decode() if isinstance(name, bytes) else str(name))
        bits_p = bits.get(product)
        found[at] = bits_p is not None and bits_p[place]
    return found


def product_and_place(name: str) -> tuple[str, int]:
    """Return the Sentinel-2 product of a v1 patch name, and row * 91 + column of the patch in its tile."""
    product, x, y = name.rsplit("_", 2) if S2_V1_NAME.fits(name) else (name, PATCHES_PER_SIDE, 0)
    if max(int(x), int(y)) >= PATCHES_PER_SIDE:
        raise ArchiveError(f"'{name}' is not the name of a patch of bigearthnet_v1")
    return product, int(y) * PATCHES_PER_SIDE + int(x)


def unpack_names(data: bytes) -> dict[str, np.ndarray]:
    """Return product -> bool (8281,), whether a stored list holds the patch of that place.

    `data` is xz of one line of JSON (the product names, sorted), then a bit for every place of each, row by row.
    """
    header, _, packed = lzma.decompress(data).partition(b"\n")
    products = json.loads(header)
    bits = np.frombuffer(packed, np.uint8).reshape(len(products), _BYTES_PER_PRODUCT)
    unpacked = np.unpackbits(bits, axis=1, count=PATCHES_PER_SIDE**2).astype(bool)
    return dict(zip(products, unpacked, strict=True))


@functools.cache
def _train_patches(data_set: str) -> dict[str, np.ndarray]:
    return unpack_names(Path(__file__).with_name(_FILE_OF_DATA_SET[data_set]).read_bytes())
