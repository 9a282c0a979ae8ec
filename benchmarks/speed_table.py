"""Write the README's table of speeds from the records in benchmarks/results.

    python benchmarks/speed_table.py [--results DIR] [--readme FILE] [--check]

It takes the records of `compare_torch.py` on the best hardware (an accelerator before a CPU, then the most recent one).
Of each network and kind of work it takes the latest record, and in it the batch at which ours was fastest. The table
goes between two marker comments of the README. `--check` writes nothing; its status is 1 where the README differs.
"""

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import replacing
from mtsccd_jax.models import MODELS
from mtsccd_jax.perf.records import Measurement, Record, load

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- speed table: python benchmarks/speed_table.py -->", "<!-- end of the speed table -->"
# Better hardware first.
PLATFORMS = ("gpu", "tpu", "cpu")
TASKS = ("train", "infer")


@dataclass(frozen=True)
class Measured:
    """Our row of one network and kind of work, with its record."""

    row: Measurement
    record: Record

    @property
    def hardware(self) -> tuple[Any, ...]:
        """The conditions that rows of one table share."""
        environment, case = self.record.environment, self.row.conditions
        return environment["platform"], environment["device"], environment["cpu"], case["precision"], case["image_size"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results", metavar="DIR")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md", metavar="FILE")
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 where the README differs")
    options = parser.parse_args()
    try:
        before = options.readme.read_text(encoding="utf-8")
        after = with_table(before, table(best_of(measured_in(options.results))))
    except (InputError, OSError) as error:
        reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else error
        print(f"speed_table.py: {reason}", file=sys.stderr)
        return 2
    if options.check:
        if before != after:
            print(f"{options.readme}: run python benchmarks/speed_table.py", file=sys.stderr)
        return int(before != after)
    with replacing(options.readme) as stream:
        stream.write(after.encode())
    return 0


def measured_in(results: Path) -> list[Measured]:
    """Return our row of every comparison that succeeded, from all records of `compare_torch.py` in a folder.

    Raises:
        InputError: There is none, or a record cannot be read.
    """
    measured = []
    for path in sorted(results.glob("*.json")):
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path}: is no JSON ({error})") from None
        if "schema" not in values:  # results of other benchmarks are no records
            continue
        record = load(path)
        if record.benchmark == "torch":
            measured += [Measured(row, record) for row in record.rows if "ratio" in row.details]
    if not measured:
        raise InputError(f"{results}: no record to make a table of; run python benchmarks/compare_torch.py --out there")
    return measured


def best_of(measured: Iterable[Measured]) -> list[Measured]:
    """Return, for each network and kind of work, our fastest row of the latest record on the best hardware."""
    measured = list(measured)

    def rank(one: Measured) -> tuple[Any, ...]:
        return -PLATFORMS.index(one.record.environment["platform"]), one.record.date

    def worth(one: Measured) -> tuple[str, float]:
        return one.record.date, one.row.rate or 0.0

    hardware = max(measured, key=rank).hardware
    best: dict[tuple[str, Any], Measured] = {}
    for one in measured:
        key = one.row.name, one.row.conditions["task"]
        if one.hardware == hardware and (key not in best or worth(one) > worth(best[key])):
            best[key] = one
    return list(best.values())


def table(measured: list[Measured]) -> str:
    """Return the table in Markdown, below sentences on the origin of its numbers."""
    rows = {(one.row.name, one.row.conditions["task"]): one.row for one in measured}
    names = [name for name in MODELS if any((name, task) in rows for task in TASKS)]
    head = ["network"]
    for work in ("training", "inference"):
        head += [f"{work} images/s", "beside PyTorch", "of the peak", "limited by"]
    lines = [sentences(measured), "", f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for name in names:
        line = [name, *(text for task in TASKS for text in cells(rows.get((name, task))))]
        lines.append(f"| {' | '.join(line)} |")
    return "\n".join(lines)


def cells(row: Measurement | None) -> list[str]:
    """Return images/s, ratio with its interval, shares of the measured and the nominal peak, and the limit."""
    if row is None:
        return ["", "", "", ""]
    details: dict[str, Any] = dict(row.details)
    shares = [f"{100 * details[key]:.0f} %" for key in ("peak_share", "mfu") if details[key] is not None]
    return [
        f"{row.rate:,.0f}" if row.rate and row.rate >= 100 else f"{row.rate:.1f}",
        f"{details['ratio']:.2f} ({details['ratio_p10']:.2f}-{details['ratio_p90']:.2f})",
        " / ".join(shares),
        details["verdict"].removesuffix("-bound"),
    ]


def sentences(measured: list[Measured]) -> str:
    """Return hardware, conditions, versions, dates and commands of the table's rows."""
    records = list({id(one.record): one.record for one in measured}.values())
    rows = [one.row for one in measured]
    environments = [record.environment for record in records]
    first, case = environments[0], rows[0].conditions
    where = f"{first['cores']} cores of {first['cpu']}" if first["platform"] == "cpu" else f"one {first['device']}"
    modes = sorted({str(row.conditions["torch_compile"]) for row in rows})
    peer = "eager" if modes == ["none"] else f"with `torch.compile` ({', '.join(modes)})"
    nominal = any(row.details["mfu"] is not None for row in rows)
    said = [
        f"On {where}, {case['precision']}, {case['image_size']} px,",
        f"batch {span(row.conditions['batch'] for row in rows)},",
        f"{span(record.date[:10] for record in records)},",
        f"Python {span(one['python'] for one in environments)},",
        f"jax {span(one['versions']['jax'] for one in environments)} beside PyTorch",
        f"{span(row.details['torch'] for row in rows)} {peer} in channels-last, both on data that are ready. Images/s",
        "are medians, ratios those of rounds (p10-p90); the share of the peak is that of the model's FLOPs (two a",
        "multiply-accumulate, training three times inference) in what a matrix product of this type reaches here"
        + (" / in the maker's figure" if nominal else "")
        + (", above 100 % where Winograd's convolutions do fewer." if first["platform"] == "cpu" else "."),
        ", ".join(f"`{command}`" for command in dict.fromkeys(record.command for record in records)),
    ]
    return textwrap.fill(" ".join(said), 120, break_long_words=False, break_on_hyphens=False)


def span(values: Iterable[Any]) -> str:
    """Return the value that all share, or the least and the largest."""
    distinct = sorted(set(values))
    return str(distinct[0]) if len(distinct) == 1 else f"{distinct[0]} to {distinct[-1]}"


def with_table(readme: str, text: str) -> str:
    """Return the README with the text between the markers.

    Raises:
        InputError: The README does not hold the markers once each, in order.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise InputError(f"the README must hold {BEGIN} and then {END}, once each")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


if __name__ == "__main__":
    sys.exit(main())
