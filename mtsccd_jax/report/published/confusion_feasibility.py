"""Which two-class confusion matrices have a printed overall accuracy and kappa.

Both numbers are printed with four decimals. For overall accuracy OA the chance agreement of a two-class matrix is at
least (1 - (1-OA)^2) / 2, whatever the share of positives, so kappa <= OA^2 / (1 + (1-OA)^2). Where the numbers of
examples and of positives are known the answer is exact: either some integer matrix prints as both numbers or none does.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Rounding = Literal["nearest", "down"]
Table = tuple[int, int, int, int]

# Printed values have four decimals, so all decisions are made on integers of 1/10,000.
UNITS = 10_000


@dataclass(frozen=True)
class Feasibility:
    """Which confusion matrices have one (overall accuracy, kappa).

    Attributes:
        bound: The largest kappa of any two-class matrix with this overall accuracy.
        possible: Whether any two-class matrix, of any size, has both numbers.
        all_unchanged: Whether the overall accuracy is that of never predicting the positive class; None where the
            number of positives is not known.
        tables: Every (tn, fp, fn, tp) that prints as both numbers, rounded to the nearest; None where the number of
            positives is not known, but empty where the number of examples alone excludes every matrix.
    """

    bound: float
    possible: bool
    all_unchanged: bool | None
    tables: tuple[Table, ...] | None

    @property
    def recovered(self) -> Table | None:
        """The only matrix that fits, or None unless there is exactly one."""
        return self.tables[0] if self.tables is not None and len(self.tables) == 1 else None


def feasibility(oa: float, kappa: float, n: int | None = None, positives: int | None = None) -> Feasibility:
    """Decide which matrices have this overall accuracy and kappa, with these examples and positives if known."""
    possible = is_possible(oa, kappa)
    if positives is None:
        return Feasibility(kappa_bound(oa), possible, None, None if n is None or is_possible(oa, kappa, n) else ())
    if n is None:
        raise ValueError("positives without n says nothing: give the number of examples as well")
    tables = integer_tables(oa, kappa, n, positives)
    return Feasibility(kappa_bound(oa), possible, positives in _errors(oa, n, "nearest"), tables)


def kappa_bound(oa: float) -> float:
    """Return the largest kappa of any two-class matrix with this overall accuracy: OA^2 / (1 + (1-OA)^2)."""
    if not 0.0 <= oa <= 1.0:
        raise ValueError(f"overall accuracy must lie in [0, 1], got {oa}")
    return oa**2 / (1 + (1 - oa) ** 2)


def kappa_lower_bound(oa: float) -> float:
    """Return the smallest kappa of any two-class matrix with this overall accuracy: -(1-OA) / (1+OA)."""
    if not 0.0 <= oa <= 1.0:
        raise ValueError(f"overall accuracy must lie in [0, 1], got {oa}")
    return -(1 - oa) / (1 + oa)


def is_possible(oa: float, kappa: float, n: int | None = None, positives: int | None = None) -> bool:
    """Return whether some two-class confusion matrix prints as this overall accuracy and kappa.

    Both numbers have four decimals, rounded to the nearest 1/10,000, or both cut off there. Without `n` and `positives`
    the bounds on kappa decide, widened by the rounding; with both the answer is exact.

    Raises:
        ValueError: A number is outside its range, or `positives` is given without `n`.
    """
    if not -1.0 <= kappa <= 1.0:
        raise ValueError(f"kappa must lie in [-1, 1], got {kappa}")
    if positives is not None and n is None:
        raise ValueError("positives without n says nothing: give the number of examples as well")
    half = 0.5 / UNITS
    below = kappa - half <= kappa_bound(min(oa + 2 * half, 1.0))
    above = kappa + 2 * half >= kappa_lower_bound(max(oa - half, 0.0))
    if not (below and above):
        return False
    if n is None:
        return True
    if positives is None:
        return any(_errors(oa, n, rounding) for rounding in ("nearest", "down"))
    return any(integer_tables(oa, kappa, n, positives, rounding) for rounding in ("nearest", "down"))


def integer_tables(
    oa: float, kappa: float, n: int, positives: int, rounding: Rounding = "nearest"
) -> tuple[Table, ...]:
    """Return every (tn, fp, fn, tp) with these counts that prints as this overall accuracy and kappa, by rising fp.

    Values are rounded to the "nearest" 1/10,000 (a tie may go either way), or cut off "down" towards zero.

    Raises:
        ValueError: `n` (1 to 1,000,000) or `positives` (0 to n) is outside its range.
    """
    if not 0 <= positives <= n:
        raise ValueError(f"positives must lie in 0 .. {n}, got {positives}")
    found: list[Table] = []
    for errors in _errors(oa, n, rounding):
        fn = np.arange(max(0, errors - (n - positives)), min(errors, positives) + 1, dtype=np.int64)[::-1]
        fp, tp = errors - fn, positives - fn
        tn = n - positives - fp
        # Kappa as a ratio of integers; 0/0 where truth and prediction are the same single class.
        numerator = 2 * (tp * tn - fp * fn)
        denominator = (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)
        fits = _prints_as(numerator, denominator, kappa, rounding)
        found += [(int(tn[i]), int(fp[i]), int(fn[i]), int(tp[i])) for i in np.flatnonzero(fits)]
    return tuple(sorted(found, key=lambda table: table[1]))


def _errors(oa: float, n: int, rounding: Rounding) -> list[int]:
    """Return every number of errors among n examples with which the overall accuracy prints as `oa`."""
    if not 1 <= n <= 1_000_000:
        raise ValueError(f"n must lie in 1 .. 1,000,000, got {n}")
    if not 0.0 <= oa <= 1.0:
        raise ValueError(f"overall accuracy must lie in [0, 1], got {oa}")
    correct = np.arange(max(0, int((oa - 2 / UNITS) * n)), min(n, int((oa + 2 / UNITS) * n) + 1) + 1, dtype=np.int64)
    return [int(n - c) for c in correct[_prints_as(correct, np.full_like(correct, n), oa, rounding)]][::-1]


def _prints_as(numerator: np.ndarray, denominator: np.ndarray, value: float, rounding: Rounding) -> np.ndarray:
    """Return where numerator/denominator, in integers, prints as `value`; never where the denominator is 0."""
    units = round(value * UNITS)
    scaled = numerator * UNITS
    if rounding == "nearest":
        fits = 2 * np.abs(scaled - units * denominator) <= denominator
    else:
        fits = np.sign(scaled) * (np.abs(scaled) // np.maximum(denominator, 1)) == units
    possible: np.ndarray = fits & (denominator > 0)
    return possible
