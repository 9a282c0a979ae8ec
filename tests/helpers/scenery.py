"""Made-up aerial scenes with structure: fields of random colours with edges between them, no two alike."""

from pathlib import Path

import cv2
import numpy as np


def scene(seed: int, size: int = 96) -> np.ndarray:
    """Return one scene, (size, size, 3) uint8, red first."""
    generator = np.random.default_rng(seed)
    image = np.full((size, size, 3), generator.integers(60, 160, 3), np.uint8)
    for _ in range(14):
        points = (generator.random((4, 2)) * size * 1.2 - 0.1 * size).astype(np.int32)
        cv2.fillConvexPoly(image, cv2.convexHull(points), generator.integers(30, 220, 3).tolist())
    noise = cv2.GaussianBlur(generator.normal(0, 14, image.shape), (0, 0), 1.2)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def plain(seed: int, size: int = 96) -> np.ndarray:
    """Return one scene of calm water."""
    generator = np.random.default_rng(seed)
    return np.clip(generator.normal((30, 60, 90), 1.0, (size, size, 3)), 0, 255).astype(np.uint8)


def save(path: Path, image: np.ndarray) -> None:
    """Write an image without loss, with the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])
