"""What rows of certainty say, in words."""

from collections.abc import Sequence
from typing import Any

from mtsccd_jax.report import text
from mtsccd_jax.report.published.tables import METHOD_NAMES
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.summary import estimate
from mtsccd_jax.tasks.certainty import METHODS

TITLES = {protocol: METHOD_NAMES.get(method, "Scene classes") for protocol, method in METHODS.items()}


def settings(row: Row) -> dict[str, Any]:
    """Return the settings of certainty of a row's recipe."""
    return row.recipe.get("certainty") or {}


def title(row: Row) -> str:
    """Return the name of a row's method, with its calibration where that is not the usual one."""
    is_platt = is_of_change(row) and settings(row).get("calibration") == "platt"
    return TITLES[row.protocol] + (", Platt" if is_platt else "")


def asked(row: Row) -> float:
    """Return the coverage that was asked for."""
    return float(settings(row).get("coverage", 0.9))


def is_of_change(row: Row) -> bool:
    """Return whether a row is about pairs."""
    return METHODS[row.protocol] != "scene"


def is_cross_fitted(row: Row) -> bool:
    """Return whether a row's forecasts were fitted on other folds of the split that they are judged on."""
    return "validation" not in row.artefacts


def where(row: Row) -> str:
    """Return whether a row is of the cities that the network has learned from, or how it was fitted."""
    left_out = (row.recipe.get("data") or {}).get("leave_out")
    if row.dataset.startswith("mtsccd"):
        at_home = row.split != f"test_{left_out}" if left_out else row.split in ("train", "validation")
        return "in city" if at_home else "out of city"
    return "cross-fitted" if is_cross_fitted(row) else "fitted on validation"


def percent_of(row: Row, metric: str, digits: int = 1) -> str:
    """Return a metric in per cent with its interval: "81.2 % [79.0, 83.1]"; a dash where it is not told."""
    value, ends = text.value_of(row, metric), text.interval_of(row, metric)
    if value is None:
        return text.NOT_KNOWN
    said = text.percent(value, digits)
    return f"{said} [{100 * ends[0]:.{digits}f}, {100 * ends[1]:.{digits}f}]".replace("-", "−") if ends else said


def sentence(rows: Sequence[Row]) -> str:
    """Say what repetitions of one row show: the coverage asked for and found, the calibration, and what is not told."""
    row, what = rows[0], "pairs" if is_of_change(rows[0]) else "scenes"
    said = f"{title(row)} on {text.place(row)} ({where(row)}): asked {text.percent(asked(row), 0)}, "
    if text.value_of(row, "coverage") is None:
        said += f"no set can be told: {_too_few_for_sets(row)}"
    elif len(rows) > 1:
        value, spread = estimate(rows, "coverage", text.percent)
        said += f"the sets hold {text.percent(value)} of the truths ({spread})"
    else:
        said += f"the sets hold {percent_of(row, 'coverage')} of the truths{_lost(row)}"
    value, spread = estimate(rows, "ece")
    if text.value_of(row, "ece") is None:
        return f"{said}. {row.n:,} {what} are too few to tell a calibration error.{_known_places(row)}"
    before = text.number(estimate(rows, "ece_before")[0])
    return f"{said}. ECE {text.number(value)} ({spread}), before calibration {before}{_floor(row)}.{_known_places(row)}"


def _known_places(row: Row) -> str:
    """Say how many places the network has learned from; nothing where there are none, or it is not known."""
    known, what = text.value_of(row, "known_places"), "pairs" if is_of_change(row) else "scenes"
    if not known:
        return ""
    return (
        f" {text.percent(known)} of these {what} show places that the network has learned from, at one of their dates: "
        "at new places it may be less sure."
    )


def _lost(row: Row) -> str:
    """Say how many points of coverage are lost, where the interval leaves no doubt that some are."""
    lost, ends = text.value_of(row, "coverage_lost"), text.interval_of(row, "coverage_lost")
    if lost is None or ends is None or ends[0] <= 0:
        return ""
    return f", {100 * lost:.1f} points less"


def _floor(row: Row) -> str:
    """Say what a perfect forecaster would show, and whether the row's error is beyond that."""
    floor, ends, own = text.value_of(row, "ece_floor"), text.interval_of(row, "ece_floor"), text.value_of(row, "ece")
    if floor is None or ends is None or own is None:
        return ""
    beyond = "" if own > ends[1] else ": chance alone may explain this one"
    return f"; on {row.n:,} examples a perfect forecaster would show {text.number(floor)}{beyond}"


def _too_few_for_sets(row: Row) -> str:
    """Say how many known examples sets need."""
    of = "of each kind of pair" if is_of_change(row) else "scenes"
    return f"that needs at least {fewest_for_sets(asked(row)):,} known examples {of}"


def fewest_for_sets(coverage: float) -> int:
    """Return the fewest examples whose conformal quantile is finite: n with ceil((n + 1) coverage) <= n."""
    return max(1, round(coverage / (1 - coverage) + 0.499999)) if coverage < 1 else 0
