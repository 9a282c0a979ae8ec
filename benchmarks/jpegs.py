"""Noise-textured JPEGs of about 37 KB under MtSCCD names: what builds and reads are measured on."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from tfds_builders.mtsccd import CITIES, CLASSES, format_name

SIDE = 300


def write_jpegs(folder: Path, images: int) -> float:
    """The mean size in KB of that many JPEGs, written flat into a new folder."""
    folder.mkdir(parents=True)
    with ProcessPoolExecutor() as processes:
        sizes = list(processes.map(_write_jpeg, [folder] * images, range(images), chunksize=100))
    return float(np.mean(sizes)) / 1000


def _write_jpeg(folder: Path, index: int) -> int:
    """The bytes of one noise-textured JPEG, written under a name of the data set."""
    random = np.random.default_rng(index)
    coarse = random.integers(0, 256, (38, 38, 3), np.uint8)
    smooth = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    image = np.clip(smooth + random.normal(0, 8.5, (SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    city = CITIES[index % len(CITIES)]
    label = index // len(CITIES) % len(CLASSES)
    return (folder / format_name(city, 1 + index % 2, index, 0, label)).write_bytes(encoded)
