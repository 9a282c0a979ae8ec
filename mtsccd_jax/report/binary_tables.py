"""What a two-class confusion matrix can be, given its overall accuracy and kappa as printed with four decimals.

For a binary confusion matrix with overall accuracy OA the chance agreement is at least (1 - (1-OA)^2) / 2, whatever the
share of positives, so kappa <= OA^2 / (1 + (1-OA)^2). Where the number of examples and of positives is known the answer
is exact: either some integer table prints as both numbers or none does.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Rounding = Literal["nearest", "down"]
Table = tuple[int, int, int, int]

# Printed values have four decimals, so everything is decided on integers of 1/10,000.
UNITS = 10_000


@dataclass(frozen=True)
class Judgement:
    """What can be said of one (overall accuracy, kappa).

    Attributes:
        bound: The largest kappa of any binary table with this overall accuracy.
        possible: Whether any binary table, of whatever size, has both numbers.
        all_unchanged: Whether the overall accuracy is that of never naming the positive class; None where the number of
            positives is not known.
        tables: Every (tn, fp, fn, tp) that prints as both numbers, rounded to the nearest; None likewise, but empty
            where the number of examples alone says that there is none.
    """

    bound: float
    possible: bool
    all_unchanged: bool | None
    tables: tuple[Table, ...] | None

    @property
    def recovered(self) -> Table | None:
        """The only table that fits, if exactly one does."""
        return self.tables[0] if self.tables is not None and len(self.tables) == 1 else None


def judge(oa: float, kappa: float, n: int | None = None, positives: int | None = None) -> Judgement:
    """What can be said of an overall accuracy and a kappa, given the number of examples and positives if known.

    Raises:
        ValueError: A number outside its range, or `positives` without `n`.
    """
    possible = is_possible(oa, kappa)
    if positives is None:
        return Judgement(kappa_bound(oa), possible, None, None if n is None or is_possible(oa, kappa, n) else ())
    if n is None:
        raise ValueError("positives without n says nothing: give the number of examples as well")
    tables = integer_tables(oa, kappa, n, positives)
    return Judgement(kappa_bound(oa), possible, positives in _errors(oa, n, "nearest"), tables)


def kappa_bound(oa: float) -> float:
    """The largest Cohen's kappa of any binary confusion matrix with this overall accuracy: OA^2 / (1 + (1-OA)^2).

    Raises:
        ValueError: `oa` is outside [0, 1].
    """
    if not 0.0 <= oa <= 1.0:
        raise ValueError(f"overall accuracy must lie in [0, 1], got {oa}")
    return oa**2 / (1 + (1 - oa) ** 2)


def kappa_lower_bound(oa: float) -> float:
    """The smallest Cohen's kappa of any binary confusion matrix with this overall accuracy: -(1-OA) / (1+OA).

    Raises:
        ValueError: `oa` is outside [0, 1].
    """
    if not 0.0 <= oa <= 1.0:
        raise ValueError(f"overall accuracy must lie in [0, 1], got {oa}")
    return -(1 - oa) / (1 + oa)


def is_possible(oa: float, kappa: float, n: int | None = None, positives: int | None = None) -> bool:
    """Whether some binary confusion matrix prints as this overall accuracy and kappa.

    Printed means rounded to the nearest 1/10,000 or cut off there, both numbers alike. Without `n` and `positives` the
    bounds on kappa decide, widened by what printing hides; with both the answer is exact.

    Args:
        oa: Overall accuracy in [0, 1], four decimals.
        kappa: Cohen's kappa in [-1, 1], four decimals.
        n: Number of examples, if known; `oa` must then be some count over n.
        positives: Number of truly positive (changed) examples, if known.

    Raises:
        ValueError: A number outside its range, or `positives` without `n`.
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
    """Every (tn, fp, fn, tp) of n examples with these positives that prints as this OA and kappa, by rising fp.

    Args:
        oa: Overall accuracy, four decimals.
        kappa: Cohen's kappa, four decimals.
        n: Number of examples, 1 to 1,000,000.
        positives: Truly positive examples, 0 to n.
        rounding: Printed to the "nearest" 1/10,000 (a tie may go either way) or cut off "down" towards zero.

    Raises:
        ValueError: `n` or `positives` outside its range.
    """
    if not 0 <= positives <= n:
        raise ValueError(f"positives must lie in 0 .. {n}, got {positives}")
    found: list[Table] = []
    for errors in _errors(oa, n, rounding):
        fn = np.arange(max(0, errors - (n - positives)), min(errors, positives) + 1, dtype=np.int64)[::-1]
        fp, tp = errors - fn, positives - fn
        tn = n - positives - fp
        # Kappa as a ratio of integers; 0/0 where truth and prediction are one and the same class throughout.
        numerator = 2 * (tp * tn - fp * fn)
        denominator = (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)
        fits = _prints_as(numerator, denominator, kappa, rounding)
        found += [(int(tn[i]), int(fp[i]), int(fn[i]), int(tp[i])) for i in np.flatnonzero(fits)]
    return tuple(sorted(found, key=lambda table: table[1]))


def _errors(oa: float, n: int, rounding: Rounding) -> list[int]:
    """Every number of errors among n examples whose overall accuracy prints as `oa`."""
    if not 1 <= n <= 1_000_000:
        raise ValueError(f"n must lie in 1 .. 1,000,000, got {n}")
    if not 0.0 <= oa <= 1.0:
        raise ValueError(f"overall accuracy must lie in [0, 1], got {oa}")
    correct = np.arange(max(0, int((oa - 2 / UNITS) * n)), min(n, int((oa + 2 / UNITS) * n) + 1) + 1, dtype=np.int64)
    return [int(n - c) for c in correct[_prints_as(correct, np.full_like(correct, n), oa, rounding)]][::-1]


def _prints_as(numerator: np.ndarray, denominator: np.ndarray, value: float, rounding: Rounding) -> np.ndarray:
    """Where numerator/denominator prints as the four-digit `value`, in integers; never where the denominator is 0."""
    units = round(value * UNITS)
    scaled = numerator * UNITS
    if rounding == "nearest":
        fits = 2 * np.abs(scaled - units * denominator) <= denominator
    else:
        fits = np.sign(scaled) * (np.abs(scaled) // np.maximum(denominator, 1)) == units
    return fits & (denominator > 0)
