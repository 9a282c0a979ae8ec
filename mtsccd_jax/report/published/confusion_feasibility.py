"""Which two-class confusion matrices have a printed overall accuracy and kappa.

Both numbers are printed with four decimals, unless said otherwise. For overall accuracy OA the chance agreement of a
two-class matrix is at least (1 - (1-OA)^2) / 2, whatever the share of positives, so kappa <= OA^2 / (1 + (1-OA)^2).
Where the numbers of examples and of positives are known the answer is exact: either some integer matrix prints as both
numbers or none does. Numbers may have been rounded to the nearest or cut off: what neither explains is refused.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Rounding = Literal["nearest", "down"]
State = Literal["impossible", "no_table", "possible", "not_decided"]
Table = tuple[int, int, int, int]

# Of printed values, unless said otherwise. All decisions are made on integers of the last decimal.
DECIMALS = 4
# Bounds the matrices that are tried.
MOST_EXAMPLES = 1_000_000


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
        cut_off: The same of numbers that are cut off; looked for only where `tables` is empty.
    """

    bound: float
    possible: bool
    all_unchanged: bool | None
    tables: tuple[Table, ...] | None
    cut_off: tuple[Table, ...] = ()

    @property
    def state(self) -> State:
        """Whether a matrix exists: `no_table` keeps the bounds on kappa, but no matrix of these counts prints so."""
        if not self.possible:
            return "impossible"
        return "no_table" if self.tables == () and not self.cut_off else "possible"

    @property
    def recovered(self) -> Table | None:
        """The only matrix that fits, or None unless there is exactly one."""
        return self.tables[0] if self.tables is not None and len(self.tables) == 1 else None


def feasibility(
    oa: float, kappa: float, n: int | None = None, positives: int | None = None, decimals: int = DECIMALS
) -> Feasibility:
    """Decide which matrices have this overall accuracy and kappa, with these examples and positives if known.

    Both numbers have so many `decimals`, 1 to 6.
    """
    possible = is_possible(oa, kappa, decimals=decimals)
    if positives is None:
        excluded = n is not None and not is_possible(oa, kappa, n, decimals=decimals)
        return Feasibility(kappa_bound(oa), possible, None, () if excluded else None)
    if n is None:
        raise ValueError("positives without n says nothing: give the number of examples as well")
    tables = integer_tables(oa, kappa, n, positives, decimals=decimals)
    cut_off = () if tables else integer_tables(oa, kappa, n, positives, "down", decimals)
    all_unchanged = positives in _errors(oa, n, "nearest", 10**decimals)
    return Feasibility(kappa_bound(oa), possible, all_unchanged, tables, cut_off)


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


def is_possible(
    oa: float, kappa: float, n: int | None = None, positives: int | None = None, decimals: int = DECIMALS
) -> bool:
    """Return whether some two-class confusion matrix prints as this overall accuracy and kappa.

    Both numbers have so many decimals, rounded to the nearest, or both cut off there. Without `n` and `positives` the
    bounds on kappa decide, widened by the rounding; with both the answer is exact.

    Raises:
        ValueError: A number is outside its range, or `positives` is given without `n`.
    """
    if not -1.0 <= kappa <= 1.0:
        raise ValueError(f"kappa must lie in [-1, 1], got {kappa}")
    if positives is not None and n is None:
        raise ValueError("positives without n says nothing: give the number of examples as well")
    half = 0.5 / 10**decimals
    below = kappa - half <= kappa_bound(min(oa + 2 * half, 1.0))
    above = kappa + 2 * half >= kappa_lower_bound(max(oa - half, 0.0))
    if not (below and above):
        return False
    if n is None:
        return True
    roundings: tuple[Rounding, ...] = ("nearest", "down")
    if positives is None:
        return any(_errors(oa, n, rounding, 10**decimals) for rounding in roundings)
    return any(integer_tables(oa, kappa, n, positives, rounding, decimals) for rounding in roundings)


def integer_tables(
    oa: float, kappa: float, n: int, positives: int, rounding: Rounding = "nearest", decimals: int = DECIMALS
) -> tuple[Table, ...]:
    """Return every (tn, fp, fn, tp) with these counts that prints as this overall accuracy and kappa, by rising fp.

    Values are rounded to the "nearest" at the last decimal (a tie may go either way), or cut off "down" towards zero.

    Raises:
        ValueError: `n` (1 to 1,000,000, with fewer than four decimals 100 times the last one's units) or `positives`
            (0 to n) is outside its range.
    """
    if not 0 <= positives <= n:
        raise ValueError(f"positives must lie in 0 .. {n}, got {positives}")
    units = 10**decimals
    found: list[Table] = []
    for errors in _errors(oa, n, rounding, units):
        fn = np.arange(max(0, errors - (n - positives)), min(errors, positives) + 1, dtype=np.int64)[::-1]
        fp, tp = errors - fn, positives - fn
        tn = n - positives - fp
        # Kappa as a ratio of integers; 0/0 where truth and prediction are the same single class.
        numerator = 2 * (tp * tn - fp * fn)
        denominator = (tp + fp) * (fp + tn) + (tp + fn) * (fn + tn)
        fits = _prints_as(numerator, denominator, kappa, rounding, units)
        found += [(int(tn[i]), int(fp[i]), int(fn[i]), int(tp[i])) for i in np.flatnonzero(fits)]
    return tuple(sorted(found, key=lambda table: table[1]))


def _errors(oa: float, n: int, rounding: Rounding, units: int) -> list[int]:
    """Return every number of errors among n examples with which the overall accuracy prints as `oa`."""
    most = min(MOST_EXAMPLES, 100 * units)
    if not 1 <= n <= most:
        raise ValueError(f"n must lie in 1 .. {most:,}, got {n}")
    if not 0.0 <= oa <= 1.0:
        raise ValueError(f"overall accuracy must lie in [0, 1], got {oa}")
    correct = np.arange(max(0, int((oa - 2 / units) * n)), min(n, int((oa + 2 / units) * n) + 1) + 1, dtype=np.int64)
    return [int(n - c) for c in correct[_prints_as(correct, np.full_like(correct, n), oa, rounding, units)]][::-1]


def _prints_as(
    numerator: np.ndarray, denominator: np.ndarray, value: float, rounding: Rounding, units: int
) -> np.ndarray:
    """Return where numerator/denominator, in integers, prints as `value`; never where the denominator is 0."""
    printed = round(value * units)
    scaled = numerator * units
    if rounding == "nearest":
        fits = 2 * np.abs(scaled - printed * denominator) <= denominator
    else:
        fits = np.sign(scaled) * (np.abs(scaled) // np.maximum(denominator, 1)) == printed
    possible: np.ndarray = fits & (denominator > 0)
    return possible
