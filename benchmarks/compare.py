"""Compare two records: which rows changed beyond their spread. The guard against losing speed.

    python benchmarks/compare.py OLD NEW [--tolerance 0.05]

OLD and NEW are records of `mtsccd-jax bench` or of a benchmark here (`mtsccd_jax/perf/records.py`). Rows with equal
name, unit and conditions are compared. A row is faster or slower where the medians differ by more than the tolerance
and the intervals from the 10th to the 90th percentile do not overlap. A row that has lost its rate is slower. Other
hardware or versions are reported first; their rates are compared all the same.

Exit status: 0 no row is slower, 1 one is, 2 a record cannot be read or no row is in both. The last line is JSON.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mtsccd_jax.errors import InputError
from mtsccd_jax.perf.records import Measurement, Record, differences, load

Change = Literal["faster", "slower", "same", "new", "gone"]
CHANGES: tuple[Change, ...] = ("slower", "faster", "gone", "new", "same")


@dataclass(frozen=True)
class Comparison:
    """One row of either record, or of both; `ratio` is the new rate over the old where there are both."""

    change: Change
    old: Measurement | None
    new: Measurement | None
    ratio: float | None = None

    def __str__(self) -> str:
        row = self.new or self.old
        assert row is not None
        rates = " -> ".join(_rate(side) for side in (self.old, self.new))
        times = f" ({self.ratio:.3f} times)" if self.ratio is not None else ""
        return f"{self.change:7} {row.title()}: {rates} {row.unit}{times}"


def compare(old: Record, new: Record, tolerance: float) -> list[Comparison]:
    """Return every row of both records: those of the old one in their order, then the new ones."""
    there, here = ({row.key: row for row in record.rows} for record in (old, new))
    compared = [_compared(row, here.get(key), tolerance) for key, row in there.items()]
    return compared + [Comparison("new", None, row) for key, row in here.items() if key not in there]


def _compared(old: Measurement, new: Measurement | None, tolerance: float) -> Comparison:
    if new is None:
        return Comparison("gone", old, None)
    if not old.rate or not new.rate:
        change: Change = "same" if bool(old.rate) == bool(new.rate) else "slower" if old.rate else "faster"
        return Comparison(change, old, new)
    ratio = new.rate / old.rate
    # The interval of a row without percentiles is its rate.
    old_low, old_high = _interval(old, old.rate)
    new_low, new_high = _interval(new, new.rate)
    if ratio < 1 - tolerance and new_high < old_low:
        return Comparison("slower", old, new, ratio)
    if ratio > 1 + tolerance and new_low > old_high:
        return Comparison("faster", old, new, ratio)
    return Comparison("same", old, new, ratio)


def _interval(row: Measurement, rate: float) -> tuple[float, float]:
    low, high = row.rate_p10, row.rate_p90
    return (rate if low is None else low), (rate if high is None else high)


def _rate(row: Measurement | None) -> str:
    if row is None:
        return "no row"
    if row.rate is None:
        return f"no rate ({row.reason})"
    if row.rate_p10 is None or row.rate_p90 is None:
        return f"{row.rate:,.6g}"
    return f"{row.rate:,.6g} [{row.rate_p10:,.6g}, {row.rate_p90:,.6g}]"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, metavar="OLD")
    parser.add_argument("new", type=Path, metavar="NEW")
    parser.add_argument("--tolerance", type=share, default=0.05, help="a smaller change is none (default: 0.05)")
    options = parser.parse_args(arguments)
    try:
        old, new = load(options.old), load(options.new)
        compared = compare(old, new, options.tolerance)
        if not any(row.old and row.new for row in compared):
            raise InputError(f"{options.old} and {options.new}: no row is in both, so nothing can be compared")
    except InputError as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    for line in differences(old.environment, new.environment):
        print(f"differs: {line}", file=sys.stderr)
    for change in CHANGES:
        for row in compared:
            if row.change == change:
                print(row, file=sys.stderr)
    counts = {change: sum(row.change == change for row in compared) for change in CHANGES}
    print(json.dumps(counts | {"differences": differences(old.environment, new.environment)}))
    return 1 if counts["slower"] else 0


def share(text: str) -> float:
    """Parse a number in [0, 1)."""
    if not 0 <= (value := float(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not in [0, 1)")
    return value


if __name__ == "__main__":
    sys.exit(main())
