"""What a worker process does: draw some tiles and write them as JPEG files."""

from pathlib import Path

import cv2
import numpy as np

from tfds_builders.synthetic.mtsccd.archive import Tile
from tfds_builders.synthetic.mtsccd.scenes import render_pair

_QUALITY = 90


def write_tiles(root: str, image_size: int, seed: int, task: tuple[list[Tile], list[tuple[str, str]]]) -> int:
    """Return the number of images written below `root` for a task: tiles, and the paths of their two dates.

    A tile is drawn from (`seed`, its number) alone, so it does not matter who draws it.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for tile, paths in zip(*task, strict=True):
            source = np.random.SeedSequence((seed, tile.number))
            images = render_pair(tile.label_t1, tile.label_t2, tile.city.name, image_size, source)
            for image_hwc, path in zip(images, paths, strict=True):
                (Path(root) / path).write_bytes(encode_jpeg(image_hwc))
    finally:
        cv2.setNumThreads(threads)
    return 2 * len(task[0])


def encode_jpeg(image_hwc: np.ndarray) -> bytes:
    """Return an RGB image as JPEG bytes."""
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(image_hwc, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not ok:
        raise OSError("OpenCV could not encode a JPEG image")
    return data.tobytes()
