"""`profile`: what limits a run."""

import argparse
import logging
import shlex
import sys
from pathlib import Path
from typing import Any

from mtsccd_jax.cli.options import (
    Json,
    add_device,
    add_input,
    add_run_options,
    at_least,
    chosen_recipe,
    command,
    directory,
    number,
)
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.ranges import RANGES

logger = logging.getLogger(__name__)


def add(commands: Any) -> None:
    """Declare the command of this file."""
    profile = command(
        commands,
        "profile",
        run_profile,
        "what limits the training of a recipe: input, transfer, dispatch, memory or compute",
        "mtsccd-jax profile resnet50_scratch --data-dir tfds --batch 256",
        "mtsccd-jax profile resnet18_scratch --generated --trace trace",
    )
    profile.add_argument("recipe", help="see `mtsccd-jax recipes`")
    profile.add_argument(
        "--batch",
        type=number(int, RANGES["engine.batch_size"]),
        default=None,
        metavar="N",
        help="images or pairs a step",
    )
    profile.add_argument(
        "--steps", type=at_least(1), default=None, metavar="N", help="of a timed window (default: about half a second)"
    )
    profile.add_argument("--generated", action="store_true", help="made-up images in memory instead of data")
    profile.add_argument(
        "--trace",
        type=directory,
        default=None,
        metavar="DIR",
        help="write a trace for Perfetto and XProf there as well",
    )
    add_device(profile)
    add_run_options(profile)
    add_input(profile)
    profile.set_defaults(init=None)


def run_profile(options: argparse.Namespace) -> Json:
    """Measure the step, its input and its devices, and say which of them limits the run."""
    from mtsccd_jax.engine.batch_size import with_batch
    from mtsccd_jax.engine.parallel import find_devices
    from mtsccd_jax.files import check_writable
    from mtsccd_jax.perf.profile.files import table, write_files
    from mtsccd_jax.perf.profile.run import profile
    from mtsccd_jax.perf.profile.trace import take_trace
    from mtsccd_jax.progress import ErrorConsole, console

    recipe = chosen_recipe(options)
    if options.generated and any((options.dataset, options.folder, options.pairs)):
        raise InputError("--generated: takes the place of data; leave out --dataset, --folder and --pairs")
    if options.batch is not None:
        recipe = with_batch(recipe, options.batch)
    workdir = options.workdir or Path("runs") / recipe.name
    check_writable(workdir)
    if options.trace is not None:
        logger.info(f"taking a trace to {options.trace}")
        take_trace(recipe, options.trace, generated=options.generated, platform=options.device)
    find_devices(options.device)
    measured = profile(recipe, generated=options.generated, steps=options.steps)
    files = write_files(measured, recipe, workdir, shlex.join(["mtsccd-jax", *sys.argv[1:]]))
    width = None if console.is_terminal else 120  # a log has no width of its own
    ErrorConsole(width=width, quiet=console.quiet).print(table(measured))
    return {**measured.summary(), **files, "trace": options.trace}
