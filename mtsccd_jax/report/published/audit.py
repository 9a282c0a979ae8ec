"""Which published (overall accuracy, kappa) are possible: those of the MtSCCD paper's Table 7, or of a file."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import read_bytes
from mtsccd_jax.report.published import tables
from mtsccd_jax.report.published.confusion_feasibility import Feasibility, feasibility
from tfds_builders.reading.archive import ArchiveError
from tfds_builders.reading.text import decoded, parsed_json, table_rows

NEEDED = ("oa", "kappa")
OPTIONAL = ("n", "positives")

# The lowest and highest value of each number; n is bounded so that every matrix can be tried.
RANGES: dict[str, tuple[float, float]] = {
    "oa": (0, 1),
    "kappa": (-1, 1),
    "n": (1, 1_000_000),
    "positives": (0, 1_000_000),
}


@dataclass(frozen=True)
class Entry:
    """One published result: overall accuracy in [0, 1] and kappa in [-1, 1], as printed with four decimals."""

    label: dict[str, str]  # the other columns, in their order, which say what the result is of
    oa: float
    kappa: float
    n: int | None = None  # examples
    positives: int | None = None  # truly positive (changed) examples


@dataclass(frozen=True)
class Finding:
    """An entry and which confusion matrices it allows."""

    entry: Entry
    audit: Feasibility

    @property
    def text(self) -> str:
        """Whether the entry is possible, in a few words."""
        entry, audit = self.entry, self.audit
        if entry.kappa > audit.bound and not audit.possible:
            text = f"impossible: kappa is at most {audit.bound:.4f}"
        elif not audit.possible:
            text = "impossible: kappa is too low"
        elif audit.tables is None:
            text = "possible"
        elif audit.recovered is not None:
            tn, fp, fn, tp = audit.recovered
            text = f"TN {tn}, FP {fp}, FN {fn}, TP {tp}"
        elif audit.tables:
            text = f"possible: {len(audit.tables)} tables fit"
        else:
            positives = f" with {entry.positives:,} positives" if entry.positives is not None else ""
            text = f"no table of {entry.n:,}{positives} rounds to both"
        return f"{text}; OA of never saying 'changed'" if audit.all_unchanged else text

    @property
    def record(self) -> dict[str, Any]:
        """The same as plain values; the table is (tn, fp, fn, tp), or None unless exactly one fits."""
        entry, audit = self.entry, self.audit
        return {
            **entry.label,
            "oa": entry.oa,
            "kappa": entry.kappa,
            "kappa_bound": audit.bound,
            "possible": audit.possible,
            "all_unchanged": audit.all_unchanged,
            "table": audit.recovered if audit.possible else None,
        }


def audit(path: str | os.PathLike[str] | None = None) -> list[Finding]:
    """Audit every entry of a file, or the 46 of the paper's Table 7."""
    entries = table_7() if path is None else read(path)
    return [Finding(entry, feasibility(entry.oa, entry.kappa, entry.n, entry.positives)) for entry in entries]


def counts(findings: Sequence[Finding]) -> dict[str, int]:
    """Count the entries: all, impossible ones, those with the all-unchanged accuracy, those with a single matrix."""
    audits = [finding.audit for finding in findings]
    return {
        "entries": len(audits),
        "impossible": sum(not found.possible for found in audits),
        "all_unchanged": sum(bool(found.all_unchanged) for found in audits),
        "recovered": sum(found.possible and found.recovered is not None for found in audits),
    }


def table_7() -> list[Entry]:
    """Return the 46 entries of the MtSCCD paper's Table 7: 23 lines, two test sets each."""
    return [
        Entry(
            {
                "method": tables.METHOD_NAMES[entry.method],
                "network": entry.model,
                "test set": f"{entry.split[-1].upper()} ({tables.CITIES[entry.split]})",
            },
            entry.oa,
            entry.kappa,
            *tables.PAIRS_CHANGED[entry.split],
        )
        for entry in tables.table_7()
    ]


def read(path: str | os.PathLike[str]) -> list[Entry]:
    """Read the entries of a file: CSV with a header, or (.json) a list of objects.

    The columns `oa` and `kappa` are needed. `n` (examples) and `positives` (truly positive examples) may be absent or
    empty. All other columns say what the entry is of.

    Raises:
        InputError: The file is absent or has no entries, a column is missing, a number is not one or outside its range,
            or positives are given without n. The message names file and line.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give a CSV file with the columns oa, kappa[, n, positives]")
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
    if missing := [name for name in NEEDED if name not in names]:
        raise InputError(f"{where}: no column {' and '.join(missing)}; the columns are oa, kappa[, n, positives]")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{where}: the column {', '.join(twice)} is there twice; remove one")


def _entry(record: Mapping[str, Any], where: str) -> Entry:
    """Return the entry of one record."""
    oa, kappa = (_number(record[name], name, where) for name in NEEDED)
    if oa is None or kappa is None:
        raise InputError(f"{where}: no {'oa' if oa is None else 'kappa'}; every entry needs oa and kappa")
    n, positives = (_number(record.get(name), name, where) for name in OPTIONAL)
    if positives is not None and n is None:
        raise InputError(f"{where}: positives without n says nothing; give n, the number of examples, as well")
    if positives is not None and n is not None and positives > n:
        raise InputError(f"{where}: {positives:g} positives among {n:g} examples; correct one of them")
    label = {name: str(value) for name, value in record.items() if name not in (*NEEDED, *OPTIONAL)}
    return Entry(label, oa, kappa, None if n is None else int(n), None if positives is None else int(positives))


def _number(value: Any, name: str, where: str) -> float | None:
    """Return the value as a number in its range; None where it is empty."""
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise InputError(f"{where}: {name} is {value!r:.80}, not a number; correct it")
    low, high = RANGES[name]
    if not low <= number <= high:
        hint = "; write shares, not per cent" if name in NEEDED and 1 < abs(number) <= 100 else "; correct it"
        raise InputError(f"{where}: {name} is {value}, outside {low:,} to {high:,}{hint}")
    if name in OPTIONAL and number != int(number):
        raise InputError(f"{where}: {name} is {value}, not a whole number; correct it")
    return number
