"""What every benchmark here does with its result: say it, and keep it with the conditions it was measured under."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mtsccd_jax.files import replacing
from mtsccd_jax.perf.records import command_line
from mtsccd_jax.perf.timing import Timing, ratio
from mtsccd_jax.provenance import environment


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with --rounds and --out."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds that count (default: 7)")
    parser.add_argument("--out", type=Path, help="write the JSON there as well")
    return parser


def spread(a: Timing, b: Timing) -> dict[str, float]:
    """The time of a over that of b, round by round: median, 10th and 90th percentile."""
    return dict(zip(("median", "p10", "p90"), (round(value, 4) for value in ratio(a, b)), strict=True))


def publish(result: dict[str, Any], out: Path | None) -> None:
    """Prints the result as one JSON line, with command, date, hardware and versions, and writes it to `out`."""
    print(keep(result, out))


def keep(result: dict[str, Any], out: Path | None) -> str:
    """The same line, written to `out` but not printed: of a benchmark that is not done yet."""
    conditions = {
        "command": command_line(),
        "date": datetime.now(UTC).date().isoformat(),
        "environment": environment(),
    }
    text = json.dumps(result | conditions)
    if out:
        with replacing(out) as stream:
            stream.write(f"{text}\n".encode())
    return text
