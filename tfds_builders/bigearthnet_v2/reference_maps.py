"""Reference maps: the CLC class of every 10 m pixel, its index in the 19 classes, and the share of each class.

Three kinds of pixels have no class of the 19, and stay apart: CLC knows the place but the class is dropped from the 19
(roads, ports, mines, bare rock ...: "unmapped"), CLC has no class there (code 999, "unlabeled"), and the map has no
value (0, "no data").
"""

from dataclasses import dataclass

import numpy as np

from tfds_builders.bigearthnet.nomenclature import CLASS_OF_CODE, CLASSES_19, INDEX_19_OF_CODE, UNLABELED_CODE
from tfds_builders.reading.archive import ArchiveError

MAP_SHAPE, MAP_DTYPE = (120, 120), "uint16"
MAP_SUFFIX = "_reference_map"  # of the name of a patch
NO_DATA_CODE = 0
# Values of an index map that are no class.
NO_DATA_INDEX, UNMAPPED_INDEX, UNLABELED_INDEX = 253, 254, 255
_FOREIGN_INDEX = 252


def _index_of_code() -> np.ndarray:
    """Return index[code] (uint8) for codes 0 to 1000; 1000 stands for every larger one."""
    index = np.full(1001, _FOREIGN_INDEX, np.uint8)
    index[list(CLASS_OF_CODE)] = UNMAPPED_INDEX
    index[list(INDEX_19_OF_CODE)] = list(INDEX_19_OF_CODE.values())
    index[UNLABELED_CODE] = UNLABELED_INDEX
    index[NO_DATA_CODE] = NO_DATA_INDEX
    return index


_INDEX_OF_CODE = _index_of_code()


@dataclass(frozen=True)
class ClassShares:
    """Shares of a map's pixels, together 1: `classes_k` (float32, (19,)) by class, then the pixels without a class."""

    classes_k: np.ndarray
    unmapped: float
    unlabeled: float
    no_data: float


def index_map(code_hw: np.ndarray) -> np.ndarray:
    """Return the index (uint8, (h, w)) in `CLASSES_19` of every CLC code, or one of the three values for no class.

    Raises:
        ArchiveError: a code is not in the CLC nomenclature.
    """
    index_hw: np.ndarray = _INDEX_OF_CODE[np.minimum(code_hw, 1000)]
    foreign_hw = index_hw == _FOREIGN_INDEX
    if foreign_hw.any():
        raise ArchiveError(f"code {int(code_hw[foreign_hw][0])} is not in the CLC nomenclature")
    return index_hw


def class_shares(index_hw: np.ndarray) -> ClassShares:
    """Return the share of each class in an index map."""
    share = np.bincount(index_hw.ravel(), minlength=256) / index_hw.size
    return ClassShares(
        share[: len(CLASSES_19)].astype(np.float32),
        float(share[UNMAPPED_INDEX]),
        float(share[UNLABELED_INDEX]),
        float(share[NO_DATA_INDEX]),
    )
