"""Generated scenes, labels and pairs in memory, for measurements on machines without a data set."""

import hashlib
from collections.abc import Mapping

import cv2
import numpy as np

from mtsccd_jax.data.bands import band_names, known_bands
from mtsccd_jax.data.decode import ImageBatch
from mtsccd_jax.recipes.config import Recipe

CLASSES = 10
LABELS = 19
# Different images; further rows share them, so that any number of rows takes the memory of so many files.
DISTINCT = 64


class GeneratedSource:
    """Rows of smooth noise with random labels, the same every time, kept as JPEG files and bands in memory.

    A row is decoded when it is read, as for a data set on disk. There is nothing to learn in it.

    Args:
        recipe: Its task sets the fields of the rows, its data the bands and the size of images.
    """

    split = "train"
    skipped: tuple[str, ...] = ()
    generated = True

    def __init__(self, recipe: Recipe, rows: int):
        self.name = self.dataset = "generated"
        self._rows, self._image_size = rows, recipe.data.image_size
        bands = band_names(recipe.data)
        pairs = recipe.model.task == "similarity"
        self.image_fields: tuple[str, ...] = () if bands else ("image_t1", "image_t2") if pairs else ("image",)
        self.band_fields = bands
        random = np.random.default_rng(0)
        distinct = min(rows, DISTINCT)
        self._encoded = {
            field: [_jpeg(random, self._image_size) for _ in range(distinct)] for field in self.image_fields
        }
        known = known_bands().BANDS if bands else {}
        self._bands = {
            name: random.integers(0, 3000, (distinct, *known[name].shape)).astype(known[name].dtype) for name in bands
        }
        classes = tuple(f"class {index}" for index in range(CLASSES))
        self.names: Mapping[str, tuple[str, ...]]
        if recipe.model.task == "labels":
            self.names = {"labels": tuple(f"label {index}" for index in range(LABELS))}
            self._columns = {"labels": random.integers(0, 2, (rows, LABELS), np.uint8)}
        else:
            fields = ("label_t1", "label_t2") if pairs else ("label",)
            self.names = dict.fromkeys(fields, classes)
            self._columns = {field: random.integers(0, CLASSES, rows, np.int32) for field in fields}
        if pairs:
            self._columns["changed"] = np.arange(rows, dtype=np.int32) % 2
        self.class_names = self.names.get("label", self.names.get("label_t1", ()))
        self.fields = (*self.image_fields, *self.band_fields, *self._columns)

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> dict[str, np.ndarray]:
        return {field: value[0] for field, value in self.read(np.array([row])).items()}

    def read(self, row_b: np.ndarray) -> dict[str, np.ndarray]:
        """Read rows as one batch: images (b, h, w, 3) uint8, bands (b, h, w) of their own type, labels."""
        if len(row_b) and not 0 <= row_b.min() <= row_b.max() < self._rows:
            raise IndexError(f"rows {row_b.min()} to {row_b.max()} of {self._rows}")
        batch: dict[str, np.ndarray] = {}
        for field, encoded in self._encoded.items():
            images = ImageBatch(len(row_b), self._image_size)
            for position, row in enumerate(row_b):
                images.decode(position, encoded[row % len(encoded)], f"{field} of row {row} of {self.name}")
            batch[field] = images.image_bhwc
        batch |= {name: band[row_b % len(band)] for name, band in self._bands.items()}
        return batch | {field: values[row_b] for field, values in self._columns.items()}

    def column(self, field: str) -> np.ndarray:
        """Return all values of a field that is neither image nor band, (n,) or (n, k)."""
        return self._columns[field]

    def fingerprint(self) -> str:
        """Return a SHA-256 of what determines the rows."""
        content = (self._rows, self._image_size, self.fields)
        return hashlib.sha256(repr(content).encode()).hexdigest()


def _jpeg(random: np.random.Generator, size: int) -> bytes:
    """Return a JPEG of noise as smooth as aerial images, which takes about as long to decode."""
    coarse = random.integers(0, 256, (max(size // 8, 1), max(size // 8, 1), 3), np.uint8)
    smooth = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    image = np.clip(smooth + random.integers(-12, 13, smooth.shape, np.int16), 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
