"""Names and numbers as the report writes them."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from mtsccd_jax.report.published.tables import CITIES
from mtsccd_jax.report.rows import Row
from tfds_builders.catalog import TITLES
from tfds_builders.mtsccd.names import CLASSES

# The abbreviations of the MtSCCD paper's figures, by class name.
ABBREVIATIONS: dict[str, str] = {entry.name: entry.abbreviation for entry in CLASSES}

# Metric of `ops` -> title; a metric that is not here is shown under its own name.
METRICS: dict[str, str] = {
    "oa": "OA",
    "kappa": "Kappa",
    "f1": "F1",
    "precision": "Precision",
    "recall": "Recall",
    "balanced": "Balanced accuracy",
    "transition": "From-to",
    "leaked": "Leaked",
    "known_places": "Known places",
    "ap_macro": "AP macro",
    "ap_micro": "AP micro",
    "ap_macro_present": "AP macro of labels that occur",
    **{
        f"{figure}_{average}": f"{letter} {average}"
        for average in ("macro", "micro", "samples")
        for figure, letter in (("f1", "F1"), ("f2", "F2"), ("precision", "P"), ("recall", "R"))
    },
    "hamming_loss": "Hamming loss",
    "subset_accuracy": "Subset accuracy",
    "coverage_error": "Coverage error",
    "ranking_loss": "Ranking loss",
    "map": "mAP",
    "ndcg": "NDCG",
    "anmrr": "ANMRR",
}

# Titles of the data sets whose splits are told by them; those of MtSCCD are told by their cities.
DATA_NAMES: dict[str, str] = {name: title for name, title in TITLES.items() if not name.startswith("mtsccd")}

NOT_KNOWN = "–"


def archive(row: Row) -> str:
    """Return the name of the row's data set without its configuration."""
    return row.dataset.partition("/")[0]


def data_name(dataset: str) -> str:
    """Return the title of a data set, whatever its configuration: "MLRSNet", or a folder's name as it is written."""
    name = dataset.partition("/")[0]
    return TITLES.get(name, name.removeprefix("folder:"))


def data_title(dataset: str) -> str:
    """Return the title of a data set with its configuration where that is no usual one; MtSCCD's two are one."""
    config = dataset.partition("/")[2]
    return data_name(dataset) + (f", {config}" if config not in ("", "official") else "")


def split_name(split: str, dataset: str) -> str:
    """Return the title of a split: "Hefei (test A)" for MtSCCD's "test_a", or "MLRSNet test"; without data its name."""
    words = split.replace("_", " ")
    if not dataset.startswith("mtsccd"):
        return f"{data_name(dataset)} {words}".strip()
    if not split.startswith("test_"):
        return words
    city = CITIES.get(split, split.removeprefix("test_").title())
    return f"{city} (test {split[-1].upper()})" if split in CITIES else f"{city} (test)"


def short_split(split: str, dataset: str) -> str:
    """Return the title of a split in one word where there is one: "Hefei", or "MLRSNet" for its test split."""
    if dataset.startswith("mtsccd"):
        return CITIES.get(split, split.replace("_", " "))
    return data_name(dataset) if dataset and split == "test" else split_name(split, dataset)


def is_leak_free(row: Row) -> bool:
    """Return whether the row's split has both dates of every tile on one side."""
    return row.dataset.endswith("/paired")


def place(row: Row) -> str:
    """Return the title of the row's split, and whether it is the leak-free one."""
    return split_name(row.split, row.dataset) + (", leak-free split" if is_leak_free(row) else "")


def short_place(row: Row) -> str:
    """Return `place` for a narrow column."""
    return short_split(row.split, row.dataset) + (", leak-free" if is_leak_free(row) else "")


def class_name(name: str) -> str:
    """Return a class as people wrote it, one of MtSCCD as words: "Residential land"."""
    return name.replace("_", " ").capitalize() if name in ABBREVIATIONS else name


def short_class_names(names: Sequence[str]) -> list[str]:
    """Return the paper's abbreviations if all classes are MtSCCD's, else different names of at most 12 characters."""
    if all(name in ABBREVIATIONS for name in names):
        return [ABBREVIATIONS[name] for name in names]
    shortened = [name if len(name) <= 12 else f"{name[:11]}…" for name in names]
    if len(set(shortened)) == len(shortened):
        return shortened
    return [f"{index} {name[:9]}" for index, name in enumerate(shortened)]


def metric_name(metric: str) -> str:
    """Return the title of a metric, such as "OA", or "P@10" for "precision_at_10"."""
    name, at, k = metric.partition("_at_")
    title = {"precision": "P"}.get(name) if at else None
    return f"{title or METRICS.get(name, name)}{'@' * bool(at)}{k.replace('_', ' ')}"


def number(value: float | None, digits: int = 3) -> str:
    """Return the value with so many decimals; a dash where it is not known."""
    return NOT_KNOWN if value is None or not math.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


def four(value: float) -> str:
    """Return the value with four decimals."""
    return number(value, 4)


def signed(value: float | None) -> str:
    """Return a difference with its sign and three decimals; a dash where it is not known."""
    return NOT_KNOWN if value is None else f"{value:+.3f}".replace("-", "−")


def percent(value: float, digits: int = 1) -> str:
    """Return the value, in [0, 1], in per cent."""
    return f"{100 * value:.{digits}f}\u202f%"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval such as "[0.699, 0.724]", or "" where it is not known."""
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def value_of(row: Row, metric: str) -> float | None:
    """Return the row's value of a metric, or None."""
    return row.metrics.get(metric, {}).get("value")


def interval_of(row: Row, metric: str) -> tuple[float, float] | None:
    """Return the ends of the 95 % interval of a metric, or None where the row has none."""
    entry = row.metrics.get(metric, {})
    low, high = entry.get("low"), entry.get("high")
    return None if low is None or high is None else (low, high)


def baseline(row: Row) -> dict[str, Any]:
    """Return the row's trivial predictor.

    Older rows of change have "all unchanged" even where most pairs have changed; there it is "all changed".
    """
    given, sums = row.baseline or {}, [sum(line) for line in row.confusion]
    if given.get("name") == "all unchanged" and len(sums) == 2 and sums[1] > sums[0]:
        return given | {"name": "all changed", "oa": sums[1] / row.n}
    return given


def baseline_of(row: Row, metric: str) -> float | None:
    """Return the trivial predictor's value of a metric, or None."""
    return baseline(row).get(metric)


def is_below_trivial(row: Row, metric: str) -> bool:
    """Return whether the row's value of a metric, of which more is better, is below the trivial predictor's."""
    value, trivial = value_of(row, metric), baseline_of(row, metric)
    return value is not None and trivial is not None and value < trivial


def published_of(row: Row, metric: str) -> float | None:
    """Return the published value of a metric beside the row, or None."""
    published = row.published or {}
    return (published.get("metrics") or published).get(metric)


def mean_std(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean, and the sample standard deviation or None for fewer than two values."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: "1 row", "2 rows"."""
    return f"{count} {noun}{'s' * (count != 1)}"
