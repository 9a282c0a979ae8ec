"""`train`: train a recipe in a work directory."""

import argparse
from pathlib import Path
from typing import Any

from mtsccd_jax.cli.options import (
    Json,
    add_device,
    add_exclude,
    add_input,
    add_processes,
    add_run_options,
    batch,
    chosen_recipe,
    command,
    weights,
)


def add(commands: Any) -> None:
    """Declare the command of this file."""
    train = command(
        commands,
        "train",
        run,
        "train a recipe, or continue where it stopped",
        "mtsccd-jax train resnet18_scratch --data-dir tfds --set optim.learning_rate=0.05",
        "mtsccd-jax train bigearthnet_v2_resnet50_s2 --data-dir tfds --batch auto",
    )
    train.add_argument("recipe", help="see `mtsccd-jax recipes`")
    train.add_argument(
        "--init",
        type=weights,
        default=None,
        metavar="WEIGHTS",
        help="published weights: .safetensors, .pth or hf:OWNER/NAME",
    )
    train.add_argument(
        "--batch",
        type=batch,
        default=None,
        metavar="N|auto",
        help="images or pairs a step, or the largest power of two that fits in memory (default: the recipe's)",
    )
    add_device(train)
    add_processes(train)
    add_run_options(train)
    add_input(train)
    add_exclude(train)


def run(options: argparse.Namespace) -> Json:
    """Train a recipe, or continue where its work directory stopped."""
    from mtsccd_jax.engine.batch_size import with_batch
    from mtsccd_jax.engine.parallel import find_devices
    from mtsccd_jax.tasks.train import train

    recipe = chosen_recipe(options)
    find_devices(options.device)
    if isinstance(options.batch, int):
        recipe = with_batch(recipe, options.batch)
    done = train(recipe, options.workdir or Path("runs") / recipe.name, largest_batch=options.batch == "auto")
    return {
        "step": done.step,
        "loss": done.loss,
        "images_per_s": done.images_per_s,
        "batch_size": done.batch_size,
        "checkpoint": done.checkpoint,
        "compile_s": done.compile_s,
        "seconds": done.train_s,
    }
