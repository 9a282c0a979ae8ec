"""Which printed scores of several classes, or of several labels an example, are possible together.

All scores follow from the true positives, false positives and false negatives of each class. With one class an example
such integers are those of a confusion matrix exactly where false positives and false negatives have one sum, and no
class has more of both together than that sum. What is printed rounded (overall accuracy; precision, recall and F1 of a
class or over all decisions; with known class counts also kappa and macro recall) gives linear inequalities in them.
Mixed-integer programming decides whether integers satisfy these (HiGHS, by SciPy). A solution is checked in exact
arithmetic.

What is not linear has bounds:

- kappa without class counts: `kappa_bounds`;
- macro F1: `f1_bounds`, from macro precision and recall;
- a macro average beside the scores of all classes: it is their mean.

Then a table is looked for: of classes with kappa (`class_example`), of labels with the macro and micro averages
(`label_example`). Where all bounds and inequalities hold one by one, but no table is found that keeps all at once, the
answer is "not decided". A ratio with denominator zero counts as 0, and macro averages are over all classes.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from mtsccd_jax.report.published.class_example import classes_with
from mtsccd_jax.report.published.confusion_feasibility import DECIMALS, Rounding, State
from mtsccd_jax.report.published.label_example import labels_with

FIGURES = ("precision", "recall", "f1")
# From the best to the worst.
_STATES: tuple[State, ...] = ("possible", "not_decided", "no_table", "impossible")
# How long integers are searched for.
_SEARCH_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Printed scores of one result.

    Attributes:
        k: Number of classes or labels.
        several: Whether an example has any number of labels; else it has one class.
        n: Number of examples, or None.
        counts: Examples of each class or label, or None.
        values: Name -> value: `oa` and `kappa` where an example has one class, and `<figure>_<micro or macro>`.
        by_class: Figure -> its value of each class, None where it is not known.
        decimals: Of all values, 1 to 6.
    """

    k: int
    several: bool
    n: int | None = None
    counts: tuple[int, ...] | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    by_class: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    decimals: int = DECIMALS


class Decision(NamedTuple):
    """Whether printed scores are possible together, and why, in a few words."""

    state: State
    reason: str = ""


class _Interval(NamedTuple):
    """The closed interval of the values that are printed as one number."""

    low: Fraction
    high: Fraction


class _Ratio(NamedTuple):
    """A printed ratio of two linear forms in (tp_k, fp_k, fn_k, 1), which may be 0/0."""

    value: float
    numerator: np.ndarray  # (3k + 1,)
    denominator: np.ndarray


def decide(scores: Scores) -> Decision:
    """Decide whether some table prints as these scores: all rounded to the nearest, or else all cut off."""
    found = _decide(scores, "nearest")
    if found.state == "possible":
        return found
    other = _decide(scores, "down")
    if _STATES.index(other.state) >= _STATES.index(found.state):
        return found
    return Decision(other.state, "; ".join(filter(None, ("if cut off, not rounded", other.reason))))


def kappa_bounds(oa: float, k: int) -> tuple[float, float]:
    """Return the smallest and the largest kappa of any confusion matrix of k >= 2 classes with this overall accuracy.

    Kappa falls with the chance agreement: the sum over classes of share of truth times share of predictions. That is at
    most (1 + OA^2) / 2, with all hits in one class and all errors between two. It is least where one class has all
    false negatives and another all false positives; with errors E = 1 - OA each of these two has E / 2 fewer hits than
    each of the others, or none.
    """
    if not 0.0 <= oa <= 1.0 or k < 2:
        raise ValueError(f"overall accuracy must lie in [0, 1] and k be at least 2, got {oa} and {k}")
    errors = 1 - oa
    hit = max(0.0, (oa - (k - 2) * errors / 2) / k)
    other = (oa - 2 * hit) / (k - 2) if k > 2 else 0.0
    chance = 2 * hit * (hit + errors) + (k - 2) * other**2
    return -errors / (1 + oa), (oa - chance) / (1 - chance)


def f1_bounds(precision: float, recall: float, k: int) -> tuple[float, float]:
    """Return the infimum and the maximum of the macro F1 of k classes with these macro averages.

    F1 is the harmonic mean, which is concave. So the mean F1 is at most the F1 of the means (Opitz and Burst 2019,
    arXiv:1911.03347), and least at a corner: of both figures every class but one has 0 or 1. It is supermodular, so
    there the largest precision meets the smallest recall.
    """
    total = precision + recall
    corners = (np.clip(mean * k - np.arange(k), 0.0, 1.0) for mean in (precision, recall))
    p_k, r_k = next(corners), next(corners)[::-1]
    least = np.divide(2 * p_k * r_k, p_k + r_k, out=np.zeros(k), where=p_k + r_k > 0).mean()
    return float(least), 2 * precision * recall / total if total else 0.0


def _decide(scores: Scores, rounding: Rounding) -> Decision:
    """Decide for one way of rounding."""
    if reason := next(_broken_bounds(scores, rounding), ""):
        return Decision("impossible", reason)
    half = 0.5 / 10**scores.decimals
    sized = scores.n is not None or scores.counts is not None
    # Wider by more than the solver's tolerance, so that no border is missed.
    if _solution(scores, rounding, integral=False, widen=half / 50) is None:
        return Decision("impossible", "no table of any size has all of these")
    if not sized:
        inside = _solution(scores, rounding, integral=False, widen=-half / 50)
        found = inside is not None and (_is_alone(scores) or _has_example(scores, inside, rounding))
        return Decision("possible" if found else "not_decided")
    counts = _solution(scores, rounding, integral=True)
    if counts is None:
        of = f" of {scores.n:,}" if scores.n is not None else ""
        return Decision("no_table", f"no table{of} rounds to all of these")
    tried = (_whole(counts), _classes(scores, counts, rounding))
    found = any(whole is not None and _prints_so(scores, whole, rounding) for whole in tried)
    return Decision("possible" if found else "not_decided")


def _is_alone(scores: Scores) -> bool:
    """Return whether, at any size, linear inequalities and bounds tell all: each bound is reached whatever else holds.

    Kappa takes every value between its bounds beside overall accuracy alone, as does macro F1 of labels beside the
    other macro averages alone: tables with the same averages are connected.
    """
    names = set(scores.values)
    if not names & {"kappa", *(f"{figure}_macro" for figure in FIGURES)}:
        return True
    others = {f"{figure}_macro" for figure in FIGURES} if scores.several else {"oa", "kappa"}
    return not scores.by_class and names <= others


def _has_example(scores: Scores, inside: np.ndarray, rounding: Rounding) -> bool:
    """Return whether a table of labels is found with the micro averages of a solution and the wanted macro averages."""
    tp, fp, fn = inside.sum(1)
    if not scores.several or scores.by_class or scores.k < 2 or not tp:
        return False
    unit = _interval(0.0, scores.decimals, rounding)
    middle = float(unit.low + unit.high) / 2  # of what is printed as one number, beyond it
    macro = {name[:-6]: value + middle for name, value in scores.values.items() if name.endswith("_macro")}
    found = labels_with(macro, tp / (tp + fp), tp / (tp + fn), scores.k)
    return found is not None and _prints_so(scores, found, rounding)


def _broken_bounds(scores: Scores, rounding: Rounding) -> Iterator[str]:
    """Yield which bounds of what is not linear do not hold, in a few words."""
    values = {name: _interval(value, scores.decimals, rounding) for name, value in scores.values.items()}
    if scores.counts is None and {"oa", "kappa"} <= values.keys():
        oa, kappa = values["oa"], values["kappa"]
        least, most = (kappa_bounds(min(max(float(end), 0.0), 1.0), scores.k)[i] for i, end in enumerate(oa))
        if float(kappa.low) > most:
            yield f"kappa is at most {most:.4f} with this OA and {scores.k} classes"
        if float(kappa.high) < least:
            yield "kappa is too low for this OA"
    for figure, given in scores.by_class.items():
        own = [_interval(value, scores.decimals, rounding) for value in given if value is not None]
        macro = values.get(f"{figure}_macro")
        if macro and len(own) == scores.k:
            low, high = (sum(ends) / scores.k for ends in zip(*own, strict=True))
            if macro.high < low or macro.low > high:
                yield f"the mean {figure} of all classes is {float(low + high) / 2:.4f}"
    if f1 := values.get("f1_macro"):
        unknown = _Interval(Fraction(0), Fraction(1))
        precision, recall = (values.get(f"{figure}_macro", unknown) for figure in ("precision", "recall"))
        least, _ = f1_bounds(max(float(precision.low), 0), max(float(recall.low), 0), scores.k)
        _, most = f1_bounds(min(float(precision.high), 1), min(float(recall.high), 1), scores.k)
        if float(f1.low) > most:
            yield f"macro F1 is at most {most:.4f} with these macro averages"
        if float(f1.high) < least:
            yield f"macro F1 is at least {least:.4f} with these macro averages"


def _interval(value: float, decimals: int, rounding: Rounding) -> _Interval:
    """Return what is printed as this value."""
    unit = Fraction(1, 10**decimals)
    printed = round(value / unit) * unit
    if rounding == "nearest":
        return _Interval(printed - unit / 2, printed + unit / 2)
    return _Interval(printed - unit * (printed <= 0), printed + unit * (printed >= 0))


def _solution(scores: Scores, rounding: Rounding, *, integral: bool, widen: float = 0.0) -> np.ndarray | None:
    """Return counts (3, k) of a table that keeps all linear inequalities; None where there is none.

    They are NaN where the search was given up. Without `integral` they may be fractions. `widen` is added to both ends
    of what is printed.
    """
    from scipy.optimize import LinearConstraint, milp

    rows = list(_structure(scores))
    for ratio in _ratios(scores):
        interval = _interval(ratio.value, scores.decimals, rounding)
        low, high = float(interval.low) - widen, float(interval.high) + widen
        rows += [
            (ratio.numerator - low * ratio.denominator, 0.0, math.inf),
            (ratio.numerator - high * ratio.denominator, -math.inf, 0.0),
        ]
        if not low <= 0 <= high and not ratio.denominator[-1]:
            rows.append((ratio.denominator, 1.0 if integral or scores.n is None else 0.0, math.inf))
    matrix, low_m, high_m = (np.array(part) for part in zip(*rows, strict=True))
    constant_m = matrix[:, -1]
    found = milp(
        np.zeros(3 * scores.k),
        integrality=np.full(3 * scores.k, int(integral)),
        constraints=LinearConstraint(matrix[:, :-1], low_m - constant_m, high_m - constant_m),
        options={"time_limit": _SEARCH_S},
    )
    if found.status == 2:
        return None
    x = np.full(3 * scores.k, np.nan) if found.x is None else found.x
    return np.asarray(x).reshape(3, scores.k)


def _structure(scores: Scores) -> Iterator[tuple[np.ndarray, float, float]]:
    """Yield the inequalities that hold for every table: linear form with constant, least and largest value."""
    tp_k, fp_k, fn_k, one = _forms(scores.k)
    size, all_fn = (tp_k + fn_k).sum(0), fn_k.sum(0)
    for i, count in enumerate(scores.counts or ()):
        yield tp_k[i] + fn_k[i], count, count
    if not scores.several:
        yield fp_k.sum(0) - all_fn, 0.0, 0.0
        yield from ((fp_k[i] + fn_k[i] - all_fn, -math.inf, 0.0) for i in range(scores.k))
        if scores.n is not None:
            yield size, scores.n, scores.n
    elif scores.n is not None:
        yield from ((tp_k[i] + fp_k[i] + fn_k[i], 0.0, scores.n) for i in range(scores.k))
    yield size + fp_k.sum(0) + one, 2.0, math.inf  # some example


def _forms(k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the linear forms tp_k, fp_k and fn_k, (k, 3k + 1) each, and the constant 1."""
    forms = np.eye(3 * k + 1)
    return forms[:k], forms[k : 2 * k], forms[2 * k : 3 * k], forms[-1]


def _ratios(scores: Scores) -> Iterator[_Ratio]:
    """Yield every printed value that is a ratio of linear forms."""
    tp_k, fp_k, fn_k, one = _forms(scores.k)
    figures = {
        "precision": (tp_k, tp_k + fp_k),
        "recall": (tp_k, tp_k + fn_k),
        "f1": (2 * tp_k, 2 * tp_k + fp_k + fn_k),
    }
    for figure, given in scores.by_class.items():
        numerator_k, denominator_k = figures[figure]
        yield from (
            _Ratio(value, numerator_k[i], denominator_k[i]) for i, value in enumerate(given) if value is not None
        )
    for figure, (numerator_k, denominator_k) in figures.items():
        if (value := scores.values.get(f"{figure}_micro")) is not None:
            yield _Ratio(value, numerator_k.sum(0), denominator_k.sum(0))
    if (value := scores.values.get("oa")) is not None:
        yield _Ratio(value, tp_k.sum(0), (tp_k + fn_k).sum(0))
    if scores.counts is None:
        return
    count_k, n = np.array(scores.counts, float)[:, None], float(sum(scores.counts))
    if (value := scores.values.get("kappa")) is not None:
        chance = (count_k * (tp_k + fp_k)).sum(0) / n  # n times the chance agreement
        yield _Ratio(value, tp_k.sum(0) - chance, n * one - chance)
    if (value := scores.values.get("recall_macro")) is not None and min(scores.counts):
        yield _Ratio(value, (tp_k / count_k).sum(0) / scores.k, one)


def _whole(counts: np.ndarray) -> tuple[list[int], list[int], list[int]] | None:
    """Return counts (3, k) as integers; None where they are not known."""
    if not np.isfinite(counts).all():
        return None
    tp, fp, fn = (list(map(int, line)) for line in counts.round().tolist())
    return tp, fp, fn


def _classes(scores: Scores, counts: np.ndarray, rounding: Rounding) -> tuple[list[int], list[int], list[int]] | None:
    """Return a table of classes with the hits of a solution and the printed kappa, where class counts are not known."""
    kappa = scores.values.get("kappa")
    if kappa is None or scores.counts is not None or scores.n is None or not np.isfinite(counts).all():
        return None
    interval = _interval(kappa, scores.decimals, rounding)
    return classes_with(round(counts[0].sum()), scores.n, scores.k, (float(interval.low), float(interval.high)))


def _prints_so(scores: Scores, counts: tuple[list[int], list[int], list[int]], rounding: Rounding) -> bool:
    """Return whether counts print as all scores, in exact arithmetic."""
    tp, fp, fn = counts
    if min(*tp, *fp, *fn) < 0 or (scores.counts and [t + m for t, m in zip(tp, fn, strict=True)] != [*scores.counts]):
        return False
    values, by_class = exact_scores(tp, fp, fn)
    printed = [(value, values[name]) for name, value in scores.values.items()]
    for figure, given in scores.by_class.items():
        printed += [(value, own) for value, own in zip(given, by_class[figure], strict=True) if value is not None]
    return all(_is_printed_as(own, value, scores.decimals, rounding) for value, own in printed)


def exact_scores(
    tp: list[int], fp: list[int], fn: list[int]
) -> tuple[dict[str, Fraction], dict[str, tuple[Fraction, ...]]]:
    """Return all scores of the counts of classes by name, and precision, recall and F1 of each class."""

    def figures(tp: int, fp: int, fn: int) -> tuple[Fraction, ...]:
        return _ratio(tp, tp + fp), _ratio(tp, tp + fn), _ratio(2 * tp, 2 * tp + fp + fn)

    counted = list(zip(tp, fp, fn, strict=True))
    by_class = dict(zip(FIGURES, zip(*(figures(*one) for one in counted), strict=True), strict=True))
    n, hits = sum(tp) + sum(fn), sum(tp)
    chance = sum((t + f) * (t + m) for t, f, m in counted)
    values = {"oa": _ratio(hits, n), "kappa": _ratio(n * hits - chance, n * n - chance)}
    values |= {f"{figure}_micro": value for figure, value in zip(FIGURES, figures(hits, sum(fp), sum(fn)), strict=True)}
    values |= {f"{figure}_macro": sum(own, Fraction(0)) / len(tp) for figure, own in by_class.items()}
    return values, by_class


def _ratio(numerator: int, denominator: int) -> Fraction:
    return Fraction(numerator, denominator) if denominator else Fraction(0)


def _is_printed_as(exact: Fraction, value: float, decimals: int, rounding: Rounding) -> bool:
    """Return whether an exact value prints as this one; a tie may go either way."""
    units = 10**decimals
    printed = round(value * units)
    if rounding == "nearest":
        return bool(abs(exact * units - printed) <= Fraction(1, 2))
    return bool(int(exact * units) == printed)
