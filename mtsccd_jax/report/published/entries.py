"""Read published results from a file: CSV with a header, or JSON.

Every line is one result. Its columns say what it is:

- of two classes: `oa` and `kappa`, and if known `n` (examples) and `positives` (truly positive examples);
- of several classes: `classes`, their number or the examples of each (`120;80;40`), and any of `oa`, `kappa`, `n`,
  `precision`, `recall`, `f1` (a value a class, `0.91;0.84;-` with a dash for one that is not known), and these with
  `_micro` or `_macro`;
- of several labels an example: `labels` in place of `classes`, without `oa` and `kappa`.

`decimals` says how many decimals all values have; unless given, as many as are there, at least 4 and at most 6. All
other columns say what the result is of.
"""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import read_bytes
from mtsccd_jax.report.published.confusion_feasibility import DECIMALS, MOST_EXAMPLES
from mtsccd_jax.report.published.scores_feasibility import FIGURES, Scores
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.text import decoded, parsed_json, table_rows

NEEDED = ("oa", "kappa")  # of two classes
SEVERAL = ("classes", "labels")  # either says that there are several
AVERAGED = tuple(f"{figure}_{average}" for average in ("micro", "macro") for figure in FIGURES)
KNOWN = (*NEEDED, "n", "positives", "decimals", *SEVERAL, *FIGURES, *AVERAGED)
COLUMNS = "oa, kappa[, n, positives]; of several classes see `mtsccd-jax audit --help`"
MOST_CLASSES = 200

# The lowest and highest value of each number; n is bounded so that every matrix can be tried.
RANGES: dict[str, tuple[float, float]] = {
    "oa": (0, 1),
    "kappa": (-1, 1),
    "n": (1, MOST_EXAMPLES),
    "positives": (0, MOST_EXAMPLES),
    "decimals": (1, 6),
    "classes": (2, MOST_CLASSES),
    "labels": (1, MOST_CLASSES),
    "examples of a class": (0, MOST_EXAMPLES),
    **dict.fromkeys((*FIGURES, *AVERAGED), (0, 1)),
}
_SHARES = (*NEEDED, *FIGURES, *AVERAGED)


@dataclass(frozen=True)
class Entry:
    """One published result of two classes: overall accuracy in [0, 1] and kappa in [-1, 1], as printed."""

    label: dict[str, str]  # the other columns, in their order, which say what the result is of
    oa: float
    kappa: float
    n: int | None = None  # examples
    positives: int | None = None  # truly positive (changed) examples
    decimals: int = DECIMALS


@dataclass(frozen=True)
class ScoresEntry:
    """One published result of several classes, or of several labels an example."""

    label: dict[str, str]
    scores: Scores


def read(path: str | os.PathLike[str]) -> list[Entry | ScoresEntry]:
    """Read the entries of a file: CSV with a header, or (.json) a list of objects.

    Raises:
        InputError: The file is absent or has no entries, a column is missing, a number is not one or outside its range,
            or numbers do not belong together. The message names file and line.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a CSV file with the columns {COLUMNS}")
    try:
        records = _json_records(path) if path.suffix.lower() == ".json" else _csv_records(path)
    except ArchiveError as error:
        raise InputError(str(error)) from None
    if not records:
        raise InputError(f"{path}: no entries; give at least one line with oa and kappa")
    return [_entry(record, where) for where, record in records]


def _csv_records(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return (place, values by lower-case column) of every line below the header that is not empty."""
    lines = [(f"{path}, line {number}", cells) for number, cells in table_rows(read_bytes(path), path)]
    header = [name.lower() for name in lines[0][1]] if lines else []
    _check_columns(header, f"{path}, line 1")
    records = []
    for where, cells in lines[1:]:
        if len(cells) != len(header):
            raise InputError(f"{where}: {len(cells)} values under {len(header)} columns; correct the line")
        records.append((where, dict(zip(header, cells, strict=True))))
    return records


def _json_records(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return (place, values by lower-case name) of every object of a JSON list."""
    try:
        values = parsed_json(decoded(read_bytes(path), path))
    except ArchiveError:
        raise
    except ValueError as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{path}{line}: not JSON ({error}); correct it") from None
    if not isinstance(values, list):
        raise InputError(f"{path}: not a list of objects with oa and kappa; put the entries in [ ]")
    records = []
    for number, value in enumerate(values, start=1):
        where = f"{path}, entry {number}"
        if not isinstance(value, dict):
            raise InputError(f"{where}: not an object with oa and kappa; correct it")
        record = {str(name).strip().lower(): item for name, item in value.items()}
        _check_columns(list(record), where)
        records.append((where, record))
    return records


def _check_columns(names: Sequence[str], where: str) -> None:
    """Raise InputError where a needed column is missing or a column is there twice."""
    missing = [name for name in NEEDED if name not in names]
    if missing and not set(SEVERAL) & set(names):
        raise InputError(f"{where}: no column {' and '.join(missing)}; the columns are {COLUMNS}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{where}: the column {', '.join(twice)} is there twice; remove one")


def _entry(record: Mapping[str, Any], where: str) -> Entry | ScoresEntry:
    """Return the entry of one record."""
    given = {name: record[name] for name in KNOWN if not _is_empty(record.get(name))}
    label = {name: str(value) for name, value in record.items() if name not in KNOWN}
    several = [name for name in SEVERAL if name in given]
    if len(several) > 1:
        raise InputError(
            f"{where}: classes and labels; an example has one class or several labels, so give one of them"
        )
    return ScoresEntry(label, _scores(given, several[0], where)) if several else _two_classes(given, label, where)


def _two_classes(given: Mapping[str, Any], label: dict[str, str], where: str) -> Entry:
    """Return the entry of a record of two classes."""
    for name in NEEDED:
        if name not in given:
            raise InputError(f"{where}: no {name}; every entry needs oa and kappa, or classes or labels")
    if others := [name for name in (*FIGURES, *AVERAGED) if name in given]:
        raise InputError(f"{where}: {others[0]} needs classes or labels, their number or the examples of each; give it")
    oa, kappa = (_number(given[name], name, where) for name in NEEDED)
    n, positives = (_whole(given[name], name, where) if name in given else None for name in ("n", "positives"))
    if positives is not None and n is None:
        raise InputError(f"{where}: positives without n says nothing; give n, the number of examples, as well")
    if positives is not None and n is not None and positives > n:
        raise InputError(f"{where}: {positives} positives among {n} examples; correct one of them")
    decimals = _decimals(given, where)
    if n is not None and n > (most := 100 * 10**decimals):
        raise InputError(f"{where}: n is {n:,}, more than the {most:,} that can be tried with {decimals} decimals")
    return Entry(label, oa, kappa, n, positives, decimals)


def _scores(given: Mapping[str, Any], kind: str, where: str) -> Scores:
    """Return the printed scores of a record of several classes or labels; `kind` is the column that says which."""
    parts = _parts(given[kind])
    listed = len(parts) > 1 or isinstance(given[kind], list)
    counts = tuple(_whole(part, "examples of a class", where) for part in parts) if listed else None
    k = _whole(len(parts) if listed else parts[0], kind, where)
    n = _whole(given["n"], "n", where) if "n" in given else None
    _check_belonging(given, kind, counts, n, where)
    by_class = {name: _by_class(given[name], name, k, where) for name in FIGURES if name in given}
    values = {name: _number(given[name], name, where) for name in (*NEEDED, *AVERAGED) if name in given}
    if not values and not by_class:
        raise InputError(f"{where}: no score; give any of {', '.join((*NEEDED, *FIGURES, *AVERAGED))}")
    return Scores(
        k=k,
        several=kind == "labels",
        n=sum(counts) if counts and kind == "classes" else n,
        counts=counts,
        values=values,
        by_class=by_class,
        decimals=_decimals(given, where),
    )


def _check_belonging(
    given: Mapping[str, Any], kind: str, counts: tuple[int, ...] | None, n: int | None, where: str
) -> None:
    """Raise InputError where the numbers of a record of several classes or labels do not belong together."""
    if "positives" in given:
        raise InputError(f"{where}: positives is of two classes; give the examples of each in {kind}, such as 120;80")
    if kind == "labels" and (wrong := [name for name in NEEDED if name in given]):
        raise InputError(f"{where}: {wrong[0]} is of one class an example, not of labels; remove it, or give classes")
    if counts is None:
        return
    if kind == "classes" and (not sum(counts) or n not in (None, sum(counts))):
        raise InputError(f"{where}: the classes have {sum(counts):,} examples, n is {n or 0:,}; correct one of them")
    if kind == "labels" and n is not None and max(counts) > n:
        raise InputError(f"{where}: a label of {max(counts):,} examples, n is {n:,}; correct one of them")


def _by_class(value: Any, name: str, k: int, where: str) -> tuple[float | None, ...]:
    """Return the value of each class; None for a dash."""
    parts = _parts(value)
    if len(parts) != k:
        raise InputError(f"{where}: {name} has {len(parts)} values for {k} classes; write them like 0.91;0.84;-")
    return tuple(None if part in (None, "", "-") else _number(part, name, where) for part in parts)


def _decimals(given: Mapping[str, Any], where: str) -> int:
    """Return how many decimals the values of a record have."""
    printed = [str(part) for name in _SHARES if name in given for part in _parts(given[name])]
    there = max((-int(Decimal(text).as_tuple().exponent) for text in printed if text != "-"), default=0)
    if "decimals" not in given:
        return int(min(max(there, DECIMALS), RANGES["decimals"][1]))
    decimals = _whole(given["decimals"], "decimals", where)
    if there > decimals:
        raise InputError(f"{where}: a value of {there} decimals, where decimals is {decimals}; correct one of them")
    return decimals


def _parts(value: Any) -> list[Any]:
    """Return the values of a cell that holds several, with semicolons or spaces between them; or of a JSON list."""
    if isinstance(value, list):
        return value
    return re.split(r"\s*;\s*|\s+", value.strip()) if isinstance(value, str) else [value]


def _is_empty(value: Any) -> bool:
    return value is None or value in ("", [])


def _whole(value: Any, name: str, where: str) -> int:
    """Return the value as a whole number in its range."""
    number = _number(value, name, where)
    if number != int(number):
        raise InputError(f"{where}: {name} is {value}, not a whole number; correct it")
    return int(number)


def _number(value: Any, name: str, where: str) -> float:
    """Return the value as a number in its range."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise InputError(f"{where}: {name} is {value!r:.80}, not a number; correct it")
    low, high = RANGES[name]
    if not low <= number <= high:
        hint = "; write shares, not per cent" if name in _SHARES and 1 < abs(number) <= 100 else "; correct it"
        raise InputError(f"{where}: {name} is {value}, outside {low:,} to {high:,}{hint}")
    return number
