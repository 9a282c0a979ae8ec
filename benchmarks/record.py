"""Shared parts of the benchmarks: options, timing in turns, and the result with the conditions of its measurement."""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

from mtsccd_jax.files import replacing
from mtsccd_jax.perf import timing
from mtsccd_jax.perf.records import command_line
from mtsccd_jax.perf.timing import Timing, ratio
from mtsccd_jax.provenance import environment


def make_parser(description: str | None, *, rounds: int | None = 7, **sizes: int) -> argparse.ArgumentParser:
    """Return a parser with --out, --rounds (unless None), and an integer option for each of the sizes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in sizes.items():
        flag = f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=int, default=default, help=f"default: {default}")
    if rounds is not None:
        parser.add_argument(
            "--rounds", type=int, default=rounds, help=f"interleaved rounds that count (default: {rounds})"
        )
    parser.add_argument("--out", type=Path, help="write the JSON there as well")
    return parser


def chosen(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return some values of the command line by name."""
    return {name: getattr(arguments, name) for name in names}


def peer(module: str, package: str) -> Any:
    """Import the module of a peer; exit where its package is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        sys.exit(f"the peer is missing: pip install {package}")


def measure(entries: Mapping[str, Callable[[], Any]], *, rounds: int, warmup: int = 1) -> dict[str, Timing]:
    """Time entries in turns, and print their medians with the 10th and 90th percentile."""
    times = timing.measure(dict(entries), warmup=warmup, rounds=rounds)
    print(f"{'':30} {'median s':>10} {'p10':>10} {'p90':>10}", file=sys.stderr)
    for name, value in times.items():
        seconds = " ".join(f"{one:10.4g}" for one in (value.median_s, value.p10_s, value.p90_s))
        print(f"{name:30} {seconds}", file=sys.stderr)
    return times


def scaled(times: Timing, factor: float) -> Timing:
    """Return the timing of a loop with `factor` times as many turns."""
    return Timing(tuple(seconds * factor for seconds in times.samples_s))


def processor_s(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call, and its processor seconds over all threads."""
    start = time.process_time()
    result = jax.block_until_ready(call())
    return result, time.process_time() - start


def spread(a: Timing, b: Timing) -> dict[str, float]:
    """Return the time of a over that of b, round by round: median, 10th and 90th percentile."""
    return dict(zip(("median", "p10", "p90"), (round(value, 4) for value in ratio(a, b)), strict=True))


def publish(result: dict[str, Any], out: Path | None) -> None:
    """Print the result as one JSON line, with command, date, hardware and versions, and write it to `out`."""
    print(keep(result, out))


def keep(result: dict[str, Any], out: Path | None) -> str:
    """Write the line of `publish` without printing it, for a benchmark that has not finished yet."""
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
