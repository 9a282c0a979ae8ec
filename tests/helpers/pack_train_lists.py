"""How the train lists in `tfds_builders/bigearthnet/*_train.xz` were packed from lists of v1 patch names."""

import json
import lzma
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from tfds_builders.bigearthnet.names import PATCHES_PER_SIDE
from tfds_builders.bigearthnet.train_lists import product_and_place


def pack_names(names: Iterable[str]) -> bytes:
    """Return a list of v1 patch names in the form that `unpack_names` reads."""
    places: dict[str, list[int]] = defaultdict(list)
    for name in names:
        product, place = product_and_place(name)
        places[product].append(place)
    bits = np.zeros((len(places), PATCHES_PER_SIDE**2), dtype=bool)
    for row, product in enumerate(sorted(places)):
        bits[row, places[product]] = True
    header = json.dumps(sorted(places)).encode() + b"\n"
    return lzma.compress(header + np.packbits(bits, axis=1).tobytes(), preset=9)
