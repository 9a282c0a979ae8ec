"""`demo`: every part once, from a generated archive to the report."""

import argparse
import dataclasses
import time
from pathlib import Path
from typing import Any

from mtsccd_jax.cli.evaluate import values_of
from mtsccd_jax.cli.options import Json, add_run_options, command, scale
from mtsccd_jax.recipes import get_recipe
from mtsccd_jax.recipes.config import override

# The methods that need nothing but the network and the pairs.
METHODS = ("cfsm", "cdc_1")


def add(commands: Any) -> None:
    """Declare the command of this file."""
    demo = command(commands, "demo", run, "generate, build, train, evaluate, detect change, report", "mtsccd-jax demo")
    add_run_options(demo)
    # With 0.05 the two test cities have 253 and 254 pairs.
    demo.add_argument("--scale", type=scale, default=0.05, help="share of the 65,548 scenes, in (0, 1] (default: 0.05)")


def run(options: argparse.Namespace) -> Json:
    """Make an archive and its data sets unless they exist, train or resume, evaluate, and write the report."""
    from mtsccd_jax.engine.compilation import run_cache
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.progress import console
    from mtsccd_jax.report import page
    from mtsccd_jax.tasks.change.evaluate import detect
    from mtsccd_jax.tasks.feature_cache import FeatureCache
    from mtsccd_jax.tasks.reports import REPORTS
    from mtsccd_jax.tasks.scenes.evaluate import evaluate, evaluated_splits
    from mtsccd_jax.tasks.table import summary_line
    from mtsccd_jax.tasks.train import train

    started = time.perf_counter()
    workdir = options.workdir or Path("runs/demo")
    recipe = override(get_recipe("demo"), options.set)
    recipe = dataclasses.replace(
        recipe,
        seed=recipe.seed if options.seed is None else options.seed,
        data=dataclasses.replace(recipe.data, data_dir=str((workdir / "tfds").resolve())),
    )
    build_data(workdir, options.scale, recipe.data.image_size, recipe.seed, recipe.data.config)
    with run_cache(workdir):
        done = train(recipe, workdir)
        cache = FeatureCache(load_trained(workdir), recipe.data)
        scene_rows = [evaluate(cache, split) for split in evaluated_splits(recipe.data)]
        change_rows = detect(cache, METHODS, recipe.change.objective)
    report = page.write([workdir], workdir / "report", REPORTS)
    scene: dict[str, Any] = {}
    change: dict[str, dict[str, Any]] = {method: {} for method in METHODS}
    for row in (*scene_rows, *change_rows):
        metrics = values_of(row)
        if row.protocol in change:
            change[row.protocol][row.split] = metrics | {"threshold": row.threshold}
        else:
            scene[row.split] = metrics
        console.print(summary_line(row), markup=False)
    console.print(f"report: {report}", style="bold")
    return {
        "scene": scene,
        "change": change,
        "train_images_per_s": done.images_per_s,
        "seconds": time.perf_counter() - started,
        "report": report,
        "rows": len(scene_rows) + len(change_rows),
    }


def build_data(workdir: Path, scale: float, image_size: int, seed: int, config: str) -> None:
    """Generate an archive in the work directory and build both data sets from it; keep what already exists."""
    import tfds_builders
    from mtsccd_jax.progress import bar
    from tfds_builders import synthetic

    archive = workdir / "archive"
    if not (archive / "MtSCCD").exists():
        with bar("generate scenes") as advance:
            synthetic.write_archive(archive, scale=scale, image_size=image_size, seed=seed, progress=advance)
    for name in ("mtsccd_lusc", "mtsccd_lucd"):
        with bar(f"build {name}") as advance:
            tfds_builders.build(name, archive=archive, data_dir=workdir / "tfds", config=config, progress=advance)
