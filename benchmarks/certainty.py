"""How sure networks are, in and out of their cities: the rows of `mtsccd-jax certainty` beside the targets.

    mtsccd-jax demo --workdir demo && mtsccd-jax certainty demo
    mtsccd-jax data synth --out large --scale 0.3 --image-size 88
    mtsccd-jax data build mtsccd_lusc --archive large --data-dir large/tfds    # and mtsccd_lucd
    cp -r demo demo_large && mtsccd-jax certainty demo_large --data-dir large/tfds
    mtsccd-jax train scenes_64 --folder EuroSAT/2750 --workdir eurosat && mtsccd-jax certainty eurosat
    python benchmarks/real_pairs.py cd_sztaki300 sztaki && mtsccd-jax certainty eurosat --pairs sztaki
    python benchmarks/certainty.py demo demo_large eurosat --out benchmarks/results/certainty.json

`demo_large` is the network of `demo` on more scenes of the same cities; 19 of its 2,716 validation scenes are copies of
scenes that the network has learned from. The two targets are of generated scenes in city: an expected calibration error
below 0.03, and sets that hold the truth within 2 points of what was asked for. A row meets or misses a target, and it
is said where its 95 % interval holds the other answer too.
"""

import sys
from pathlib import Path
from typing import Any

from record import make_parser, publish

from mtsccd_jax.report.rows import Row, load
from mtsccd_jax.tasks.certainty import METHODS
from mtsccd_jax.tasks.certainty.words import asked, is_of_change, sentence, settings, where

LARGEST_ERROR, LARGEST_GAP = 0.03, 0.02
METRICS = ("ece", "ece_adaptive", "ece_before", "ece_floor", "brier", "log_loss", "aurc", "oa", "accuracy_kept")
METRICS += ("abstention", "coverage", "coverage_lost", "coverage_unchanged", "coverage_changed", "coverage_lowest")
METRICS += ("set_size", "empty", "several", "look_found")


def main() -> None:
    parser = make_parser(__doc__, rounds=None)
    parser.add_argument("workdirs", type=Path, nargs="+", help="work directories with rows of certainty")
    options = parser.parse_args()
    results = [told(workdir, row) for workdir in options.workdirs for row in load(workdir) if is_asked(row)]
    for result in results:
        print(f"{result['run']}: {result['says']}", file=sys.stderr)
    publish({"benchmark": "certainty", "targets": targets(results), "rows": results}, options.out)


def is_asked(row: Row) -> bool:
    """Return whether a row is of certainty; scenes have a temperature, whatever calibration is asked for."""
    return row.protocol in METHODS and (is_of_change(row) or settings(row)["calibration"] == "isotonic")


def told(workdir: Path, row: Row) -> dict[str, Any]:
    """Return what a row says, with its intervals."""
    numbers = {
        name: [None if end is None else round(end, 5) for end in (entry["value"], entry["low"], entry["high"])]
        for name in METRICS
        if (entry := row.metrics.get(name)) is not None
    }
    about = {"run": workdir.name, "dataset": row.dataset, "generated": row.generated, "split": row.split}
    about |= {"place": where(row), "method": METHODS[row.protocol], "n": row.n, **settings(row)}
    verdict = {"ece": error_verdict(row), "coverage": coverage_verdict(row)}
    return about | {"metrics": numbers, "verdict": verdict, "says": sentence([row])}


def error_verdict(row: Row) -> str:
    """Return whether the calibration error is below the target."""
    return verdict(row.metrics["ece"], 0.0, LARGEST_ERROR)


def coverage_verdict(row: Row) -> str:
    """Return whether the coverage is as asked for."""
    return verdict(row.metrics["coverage"], asked(row) - LARGEST_GAP, asked(row) + LARGEST_GAP)


def verdict(entry: dict[str, float | None], least: float, most: float) -> str:
    """Return whether a value is within bounds, and whether its interval leaves a doubt."""
    value, low, high = (entry[name] for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "not told"
    met = least <= value <= most
    sure = (least <= low and high <= most) if met else (high < least or low > most)
    return ("met" if met else "missed") + ("" if sure else ", but the interval holds the other answer")


def targets(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the verdicts of generated scenes and pairs in city."""
    own = [result for result in results if result["generated"] and result["place"] == "in city"]
    return {
        f"{result['run']}, {result['method']}, {result['calibration']}, n={result['n']}": result["verdict"]
        for result in own
    }


if __name__ == "__main__":
    main()
