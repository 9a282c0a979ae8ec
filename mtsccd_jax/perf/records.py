"""Measured rates with their conditions: a record is a JSON file, with the same rows as a CSV table beside it."""

import csv
import dataclasses
import io
import json
import math
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import check_writable, read_bytes, replacing
from mtsccd_jax.perf.timing import Timing
from mtsccd_jax.report.tables import csv_cell
from tfds_builders.reading.files import is_of_the_machine
from tfds_builders.reading.text import parsed_json

if TYPE_CHECKING:
    from rich.table import Table as RichTable

SCHEMA = 1

# The keys of `provenance.environment()` that a speed depends on; those of the processor only where it computes.
_ANYWHERE = ("platform", "device", "devices", "processes", "python", "xla_flags", "commit")
_ON_CPU = ("cpu", "cores")
_VERSIONS = ("jax", "jaxlib", "flax", "optax", "numpy")

Scalar = str | int | float | bool | None
Cells = dict[str, Scalar]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One rate, or the reason why there is none.

    Attributes:
        name: What was measured: a network, a stage, an operation.
        conditions: The conditions of the measurement; name, unit and conditions identify the row.
        unit: The unit of the rate, such as "images/s". More is better.
        rate: The rate of the median window, None where nothing could be measured.
        rate_p10: The rate that nine tenths of the windows reach; one tenth reach `rate_p90`.
        details: Other values, such as `compile_s` and `peak_bytes`; None for an unknown one.
    """

    name: str
    conditions: Mapping[str, Scalar]
    unit: str
    rate: float | None = None
    rate_p10: float | None = None
    rate_p90: float | None = None
    windows: int = 0
    details: Mapping[str, Scalar] = field(default_factory=dict)
    reason: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """The identity of the row: equal in two records that measured the same thing."""
        return self.name, json.dumps(dict(sorted(self.conditions.items()))), self.unit

    @property
    def spread(self) -> float | None:
        """The distance from the 10th to the 90th percentile, over the median."""
        if self.rate is None or self.rate_p10 is None or self.rate_p90 is None or not self.rate:
            return None
        return (self.rate_p90 - self.rate_p10) / self.rate

    def title(self) -> str:
        """Return name and conditions in one line for people."""
        return " ".join([self.name, *(f"{name}={value}" for name, value in self.conditions.items())])


@dataclass(frozen=True, kw_only=True)
class Record:
    """The rows of one benchmark in the order of measurement; date (UTC, ISO 8601) and command are the last row's."""

    benchmark: str
    command: str
    date: str
    environment: Mapping[str, Any]
    rows: tuple[Measurement, ...] = ()


def measurement(
    name: str,
    conditions: Mapping[str, Scalar],
    unit: str,
    timing: Timing,
    amount: float,
    details: Mapping[str, Scalar] | None = None,
) -> Measurement:
    """Return the row of a timing; each of its samples is the seconds of `amount` (images, pairs)."""
    # Percentiles of seconds, not of rates: the mean of two rates is not the rate of the mean.
    return Measurement(
        name=name,
        conditions=conditions,
        unit=unit,
        rate=amount / timing.median_s,
        rate_p10=amount / timing.p90_s,
        rate_p90=amount / timing.p10_s,
        windows=len(timing.samples_s),
        details=details or {},
    )


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return how two environments differ in what a speed depends on, as in "jax 0.10.2 there, 0.11.0 here"."""
    names = _ANYWHERE + (_ON_CPU if "cpu" in (old.get("platform"), new.get("platform")) else ())
    pairs = [(name, old.get(name), new.get(name)) for name in names]
    there, here = (environment.get("versions") or {} for environment in (old, new))
    pairs += [(name, there.get(name), here.get(name)) for name in _VERSIONS]
    return [f"{name} {a or 'unknown'} there, {b or 'unknown'} here" for name, a, b in pairs if a != b]


def conditions_slug(environment: Mapping[str, Any]) -> str:
    """Return version and device for a file name, as in "jax0.11.2-h200" or "jax0.10.2-cpu-epyc_7b13"."""
    cpu = environment["platform"] == "cpu"
    words = str(environment["cpu"] if cpu else environment["device"]).lower()
    words = re.sub(r"\(r\)|\(tm\)|@.*|\b(nvidia|amd|intel|processor|cpu|core|tensor|gpu|\d+-core)\b", " ", words)
    name = "_".join(re.findall(r"[a-z0-9.]+", words)) or "device"
    count = f"-{environment['devices']}x" if environment["devices"] > 1 else ""
    return f"jax{environment['versions']['jax']}-{'cpu-' if cpu else ''}{name}{count}"


def command_line() -> str:
    """Return the command of this process, as a person types it."""
    program = Path(sys.argv[0])
    script = program.name if program.is_absolute() else program
    first = "mtsccd-jax" if program.stem in ("mtsccd-jax", "__main__") else f"python {script}"
    return shlex.join([*first.split(), *sys.argv[1:]])


class RecordFile:
    """A record that grows on disk: FOLDER/STEM.json and FOLDER/STEM.csv, complete after every row.

    Args:
        stem: Their name; it holds the conditions that all rows share.
        table: Makes the lines of the CSV: `plain_table` or a benchmark's own.

    Raises:
        InputError: The folder cannot be written, or holds rows of another environment.
    """

    def __init__(
        self,
        folder: Path,
        stem: str,
        *,
        benchmark: str,
        command: str,
        environment: Mapping[str, Any],
        table: Callable[[Sequence[Measurement]], list[Cells]] | None = None,
    ):
        self.json, self.csv = folder / f"{stem}.json", folder / f"{stem}.csv"
        self._table = table or plain_table
        check_writable(folder, "choose another --out")
        self.record = Record(benchmark=benchmark, command=command, date=_now(), environment=environment)
        if self.json.exists():
            there = load(self.json)
            differing = differences(there.environment, environment)
            if differing:
                raise InputError(
                    f"{self.json}: holds rows of another environment ({'; '.join(differing)}); choose another --out"
                )
            self.record = dataclasses.replace(self.record, rows=there.rows)

    def find(self, name: str, conditions: Mapping[str, Scalar], unit: str) -> Measurement | None:
        """Return the row if the record has it, or None."""
        key = Measurement(name=name, conditions=conditions, unit=unit).key
        return next((row for row in self.record.rows if row.key == key), None)

    def add(self, row: Measurement) -> None:
        """Add a row to both files; it replaces an earlier measurement of the same row."""
        rows = (*(other for other in self.record.rows if other.key != row.key), row)
        self.record = dataclasses.replace(self.record, rows=rows, date=_now())
        self.write()

    def write(self) -> None:
        """Write both files."""
        save(self.record, self.json)
        with replacing(self.csv) as stream:
            stream.write(as_csv(self._table(self.record.rows)).encode())


def save(record: Record, path: Path) -> None:
    """Write a record to `path` in one piece."""
    values = {"schema": SCHEMA, **dataclasses.asdict(record)}
    with replacing(path) as stream:
        stream.write((json.dumps(_finite(values), indent=1) + "\n").encode())


def load(path: Path) -> Record:
    """Read the record at `path`.

    Raises:
        InputError: There is no such file, or it is no record.
    """
    try:
        values = parsed_json(read_bytes(path))
    except (OSError, ValueError) as error:
        if is_of_the_machine(error):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read as a record ({reason}); name another file or folder") from None
    try:
        if values["schema"] != SCHEMA:
            raise InputError(f"{path}: a record of schema {values['schema']}; this version reads {SCHEMA}")
        rows = tuple(Measurement(**row) for row in values["rows"])
        names = ("benchmark", "command", "date", "environment")
        if not isinstance(values["environment"], dict) or not all(map(_is_row, rows)):
            raise TypeError("values of another kind")
        return Record(**{name: values[name] for name in names}, rows=rows)
    except (KeyError, TypeError) as error:
        wrong = f"without {error}" if isinstance(error, KeyError) else error
        raise InputError(
            f"{path}: is no record ({wrong}); `mtsccd-jax bench` writes benchmark, command, date, environment and rows"
        ) from None


def _is_row(row: Measurement) -> bool:
    """Return whether the values of a row that was read have the types of a row that is written."""
    rates = (row.rate, row.rate_p10, row.rate_p90)
    return (
        all(isinstance(text, str) for text in (row.name, row.unit))
        and all(isinstance(cells, dict) for cells in (row.conditions, row.details))
        and all(rate is None or (isinstance(rate, int | float) and rate > 0) for rate in rates)
    )


def plain_table(rows: Sequence[Measurement]) -> list[Cells]:
    """Return one line per row: name, conditions, unit, rate, its percentiles, details, reason."""
    return [
        {
            **_identity_and_rates(row),
            "windows": row.windows,
            **{name: significant(value) for name, value in row.details.items()},
            "reason": row.reason,
        }
        for row in rows
    ]


def as_csv(lines: Iterable[Cells]) -> str:
    """Return the lines as CSV, with columns in the order of first appearance and empty cells for unknown values."""
    lines = list(lines)
    columns = list(dict.fromkeys(column for line in lines for column in line))
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
    writer.writerows([csv_cell(line.get(column)) for column in columns] for line in lines)
    return stream.getvalue()


def significant(value: Scalar, digits: int = 6) -> Scalar:
    """Round a float to significant digits; return any other value unchanged."""
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def summary(rows: Iterable[Measurement]) -> list[dict[str, Any]]:
    """Return the rows in brief, for standard output."""
    return [{**_identity_and_rates(row), "reason": row.reason} for row in rows]


def _identity_and_rates(row: Measurement) -> Cells:
    rates = {"rate": row.rate, "rate_p10": row.rate_p10, "rate_p90": row.rate_p90}
    rounded = {name: significant(rate) for name, rate in rates.items()}
    return {"name": row.name, **row.conditions, "unit": row.unit, **rounded}


def rich_table(rows: Sequence[Measurement]) -> "RichTable":
    """Return the rows as a table for people; the title has the shared conditions, the caption the reasons."""
    from rich.table import Table
    from rich.text import Text

    conditions = list(dict.fromkeys(name for row in rows for name in row.conditions))
    shared = {name for name in conditions if len({row.conditions.get(name) for row in rows}) == 1}
    units = list(dict.fromkeys(row.unit for row in rows))
    common = [f"{name.replace('_', ' ')} {rows[0].conditions[name]}" for name in conditions if name in shared]
    reasons = [f"{row.title()}: {row.reason}" for row in rows if row.reason]
    table = Table(
        box=None,
        title=Text(", ".join([*units, *common])),
        title_justify="left",
        caption=Text("\n".join(reasons)) if reasons else None,
        caption_justify="left",
    )
    table.add_column("name", no_wrap=True)
    varied = [name for name in conditions if name not in shared]
    for title in (*varied, "rate", "p10", "p90", "spread"):
        table.add_column(title.replace("_", " "), justify="right", no_wrap=True)
    for row in rows:
        rates = [f"{rate:,.1f}" if rate is not None else "-" for rate in (row.rate, row.rate_p10, row.rate_p90)]
        spread = f"{row.spread:.1%}" if row.spread is not None else "-"
        table.add_row(row.name, *(str(row.conditions.get(name, "")) for name in varied), *rates, spread)
    return table


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _finite(value: Any) -> Any:
    """Replace numbers that are not finite by None, as in the JSON of commands."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
