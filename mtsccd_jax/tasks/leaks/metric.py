"""How far apart layouts are, in units of what copies differ by; learned from copies planted among the images."""

from collections.abc import Sequence

import numpy as np

# Added to every variance: as a share of their mean, and at least so much.
_SHRINKAGE, _LEAST = 0.02, 1e-6


def learn(original_nwd: np.ndarray, copies: Sequence[np.ndarray]) -> np.ndarray:
    """Return the matrix (d, d) after which the differences between copies have unit variance in every direction.

    It is learned from the layouts of images, all windows, and of several planted copies of each, (n, d). A copy is
    compared with the window of its original that is nearest, as a search does.
    """
    rows = np.arange(len(original_nwd))
    difference = [copy_nd[:, None] - original_nwd for copy_nd in copies]
    nearest = np.concatenate([one[rows, np.square(one).sum(-1).argmin(1)] for one in difference])
    covariance = nearest.T @ nearest / len(nearest)
    shrunk = covariance + np.eye(len(covariance)) * max(_SHRINKAGE * np.trace(covariance) / len(covariance), _LEAST)
    variance, direction = np.linalg.eigh(shrunk)
    matrix: np.ndarray = (direction / np.sqrt(variance)).astype(np.float32)
    return matrix
