"""The label sets of BigEarthNet v1: how the CLC names in a patch's file become a multi-hot vector."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from tfds_builders.bigearthnet.nomenclature import (
    CLASSES_19,
    CLASSES_43,
    CLASSES_LEVEL_1,
    CLASSES_LEVEL_2,
    CLC_CLASSES,
)
from tfds_builders.reading.archive import ArchiveError


@dataclass(frozen=True)
class LabelSet:
    """A set of classes and how the names in a patch's file come to it; a name that maps to None is dropped."""

    name: str
    classes: tuple[str, ...]
    class_of: Mapping[str, str | None]

    def multi_hot(self, labels: Iterable[str]) -> np.ndarray:
        """Return a uint8 vector (k,), 1 for each class that `labels` (names as in the archive) come to."""
        vector = np.zeros(len(self.classes), np.uint8)
        for label in labels:
            if label not in self.class_of:
                raise ArchiveError(f"label '{label}' is not in the nomenclature ({self.name})")
            found = self.class_of[label]
            if found is not None:
                vector[self.classes.index(found)] = 1
        return vector


_V1_CLASSES = tuple(entry for entry in CLC_CLASSES if entry.name in CLASSES_43)
LABEL_SETS: dict[str, LabelSet] = {
    "43": LabelSet("43", CLASSES_43, {entry.name: entry.name for entry in _V1_CLASSES}),
    "19": LabelSet("19", CLASSES_19, {entry.name: entry.class_19 for entry in _V1_CLASSES}),
    "clc_level_1": LabelSet("clc_level_1", CLASSES_LEVEL_1, {entry.name: entry.level_1 for entry in _V1_CLASSES}),
    "clc_level_2": LabelSet("clc_level_2", CLASSES_LEVEL_2, {entry.name: entry.level_2 for entry in _V1_CLASSES}),
}
