"""Generated JPEGs of about 37 kB, 300 pixels a side, for the benchmarks of input and builds."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from mtsccd_jax.recipes.config import Data

SIDE = 300
# What benchmarks build from these images: the recipes' default data set.
DATASET: str = str(Data.dataset)
_CLASSES = 10


def write_jpegs(folder: Path, images: int, path_of: Callable[[int], str]) -> float:
    """Write JPEGs into a new folder, each at `path_of(number)` below it; return their mean size in kB."""
    folder.mkdir(parents=True)

    def write(index: int) -> int:
        path = folder / path_of(index)
        path.parent.mkdir(exist_ok=True)
        return path.write_bytes(noise_jpeg(index))

    with ThreadPoolExecutor() as threads:
        return float(np.mean(list(threads.map(write, range(images))))) / 1000


def build_jpegs(folder: Path, images: int) -> float:
    """Build `DATASET` below `folder`, archive in "archive" and data in "tfds"; return the mean size of JPEGs in kB."""
    import tfds_builders

    image_kb = write_jpegs(folder / "archive", images, in_archive)
    tfds_builders.build(DATASET, archive=folder / "archive", data_dir=folder / "tfds")
    return image_kb


def noise_jpeg(index: int) -> bytes:
    """Return the JPEG of a number, the same everywhere: smooth colours with noise, quality 85."""
    random = np.random.default_rng(index)
    coarse = random.integers(0, 256, (38, 38, 3), np.uint8)
    smooth = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    image = np.clip(smooth + random.normal(0, 8.5, (SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def in_class_folders(index: int) -> str:
    """Return a path below one of ten class folders."""
    return f"class_{index % _CLASSES}/{index:06d}.jpg"


def in_archive(index: int) -> str:
    """Return a file name of the archive that `DATASET` is built from; all files lie in one folder."""
    from tfds_builders.mtsccd.names import CITIES, CLASSES, format_name

    city, label = CITIES[index % len(CITIES)], index // len(CITIES) % len(CLASSES)
    return format_name(city, 1 + index % 2, index, 0, label)
