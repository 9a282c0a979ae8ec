"""`certainty`: how sure a network is, and whether it may be believed."""

import argparse
import logging
from typing import Any

from mtsccd_jax.cli.evaluate import open_cache, reader, values_of
from mtsccd_jax.cli.options import Json, add_input, add_override, add_split, number
from mtsccd_jax.recipes.ranges import RANGES
from mtsccd_jax.recipes.values import shown
from mtsccd_jax.tasks.certainty import METHODS, PROTOCOLS

logger = logging.getLogger(__name__)


def add(commands: Any) -> None:
    """Declare the command of this file."""
    certainty = reader(
        commands,
        "certainty",
        run_certainty,
        "calibrated probabilities of classes and of change, sets that hold the truth, and what to look at first",
        "mtsccd-jax certainty runs/demo",
        "mtsccd-jax certainty runs/demo --method cfsm --coverage 0.95 --calibration platt --split test_a",
        "mtsccd-jax certainty runs/eurosat --folder my_scenes --look 500",
    )
    certainty.add_argument(
        "--method",
        choices=list(PROTOCOLS),
        action="append",
        default=None,
        help="what is judged, repeatable (default: all that network and data allow)",
    )
    certainty.add_argument(
        "--calibration",
        choices=["isotonic", "platt"],
        default=None,
        help="map from distances to probabilities; scenes have a temperature (default: isotonic)",
    )
    certainty.add_argument(
        "--coverage",
        type=number(float, RANGES["certainty.coverage"]),
        default=None,
        help="share of the truths that sets are to hold (default: 0.9)",
    )
    certainty.add_argument(
        "--look",
        type=number(int, RANGES["certainty.look"]),
        default=None,
        metavar="N",
        help="lines of the list of what to look at first (default: 180, an hour at 20 seconds each)",
    )
    add_override(certainty)
    add_input(certainty)
    add_split(certainty)


def run_certainty(options: argparse.Namespace) -> Json:
    """Judge probabilities and sets in and out of city, and list what to look at first."""
    from mtsccd_jax.report.rows import Row
    from mtsccd_jax.tasks.certainty.evaluate import chosen_methods, of_all
    from mtsccd_jax.tasks.certainty.look import list_path
    from mtsccd_jax.tasks.certainty.words import sentence
    from mtsccd_jax.tasks.table import summary_line

    given = {name: getattr(options, name) for name in ("calibration", "coverage", "look")}
    chosen = [f"certainty.{name}={shown(value)}" for name, value in given.items() if value is not None]
    cache = open_cache(options, [*options.set, *chosen])

    def tell(row: Row) -> None:
        logger.info(summary_line(row))
        logger.info(sentence([row]))

    rows = of_all(cache, options.method or chosen_methods(cache), options.split, tell)
    settings = cache.trained.recipe.certainty
    result: dict[str, Any] = {"rows": len(rows), "coverage": settings.coverage, "calibration": settings.calibration}
    for row in rows:
        method = METHODS[row.protocol]
        values = values_of(row) | {"look": list_path(cache.trained.workdir, row)}
        result.setdefault(method, {})[row.split] = values
    return result
