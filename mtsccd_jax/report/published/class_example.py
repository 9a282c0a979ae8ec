"""A table of several classes with given numbers of examples and hits, and a given kappa.

Hits lie in the first class, or move from it to the others in even parts; errors are between the first two classes, more
or fewer of them in either direction. So kappa runs from its least value to near its largest.
"""

import numpy as np

# Of each of both ways, how many are tried.
_TRIED = 1500


def classes_with(
    hits: int, n: int, k: int, kappa: tuple[float, float]
) -> tuple[list[int], list[int], list[int]] | None:
    """Return true positives, false positives and false negatives of k >= 2 classes; None where this finds no table.

    Kappa lies within both ends of `kappa`.
    """
    errors = n - hits
    other_b1 = np.unique(np.linspace(0, hits // (k - 1), _TRIED).astype(np.int64))[:, None]  # hits of each other class
    missed_x = np.unique(np.linspace(0, errors, _TRIED).astype(np.int64))  # of the first class
    first_b1 = hits - (k - 1) * other_b1
    found_x = errors - missed_x  # false positives of the first class
    chance_bx = (first_b1 + missed_x) * (first_b1 + found_x) + (other_b1 + found_x) * (other_b1 + missed_x)
    chance_bx += (k - 2) * other_b1**2
    free_bx = float(n) ** 2 - chance_bx
    value_bx = np.divide(n * hits - chance_bx, free_bx, out=np.zeros(chance_bx.shape), where=free_bx > 0)
    # The nearest to the middle: what floats round away does not matter there.
    place = int(np.abs(value_bx - sum(kappa) / 2).argmin())
    if not kappa[0] <= value_bx.flat[place] <= kappa[1]:
        return None
    b, x = (int(index) for index in np.unravel_index(place, value_bx.shape))
    other, missed = int(other_b1[b, 0]), int(missed_x[x])
    tp = [hits - (k - 1) * other, *[other] * (k - 1)]
    return tp, [errors - missed, missed, *[0] * (k - 2)], [missed, errors - missed, *[0] * (k - 2)]
