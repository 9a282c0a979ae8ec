"""Noise-textured JPEGs of about 37 KB, 300 pixels a side: what input and builds are measured on."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

SIDE = 300
_CLASSES = 10


def write_jpegs(folder: Path, images: int, path_of: Callable[[int], str]) -> float:
    """The mean size in KB of that many JPEGs, written into a new folder.

    Args:
        folder: that is made.
        images: how many.
        path_of: the path of each below the folder, by number.
    """
    folder.mkdir(parents=True)

    def write(index: int) -> int:
        path = folder / path_of(index)
        path.parent.mkdir(exist_ok=True)
        return path.write_bytes(noise_jpeg(index))

    with ThreadPoolExecutor() as threads:
        return float(np.mean(list(threads.map(write, range(images))))) / 1000


def noise_jpeg(index: int) -> bytes:
    """The JPEG of that number, the same everywhere: smooth colours under a grain, quality 85."""
    random = np.random.default_rng(index)
    coarse = random.integers(0, 256, (38, 38, 3), np.uint8)
    smooth = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    image = np.clip(smooth + random.normal(0, 8.5, (SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def in_class_folders(index: int) -> str:
    """A path below one of ten folders, a class each."""
    return f"class_{index % _CLASSES}/{index:06d}.jpg"


def in_archive(index: int) -> str:
    """A name of MtSCCD, all files in one folder; importing the names brings TFDS along."""
    from tfds_builders.mtsccd import CITIES, CLASSES, format_name

    city, label = CITIES[index % len(CITIES)], index // len(CITIES) % len(CLASSES)
    return format_name(city, 1 + index % 2, index, 0, label)
