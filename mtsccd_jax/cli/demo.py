"""The whole river once, on a small generated archive: what `mtsccd-jax demo` runs."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import tfds_builders
from mtsccd_jax.engine.compilation import run_cache
from mtsccd_jax.engine.evaluate import load_trained
from mtsccd_jax.engine.loop import fit
from mtsccd_jax.progress import bar, console
from mtsccd_jax.recipes import get_recipe
from mtsccd_jax.recipes.config import override
from mtsccd_jax.report import page
from mtsccd_jax.tasks.change.evaluate import detect
from mtsccd_jax.tasks.feature_cache import Embedded
from mtsccd_jax.tasks.scenes.evaluate import default_splits, evaluate
from mtsccd_jax.tasks.table import REPORTS
from tfds_builders import synthetic

# Of the 65,548 scenes: 253 and 254 pairs in the two test cities.
SCALE = 0.05
# Those that need nothing but the network and its pairs.
METHODS = ("cfsm", "cdc_1")


def demo(workdir: Path, assignments: list[str], *, scale: float = SCALE, seed: int | None = None) -> dict[str, Any]:
    """What the demonstration came to: metrics per split, throughput, seconds, and where the report lies.

    Everything lies below `workdir`; what is already there is not made again.
    """
    started = time.perf_counter()
    archive, data_dir = workdir / "archive", workdir / "tfds"
    recipe = override(get_recipe("demo"), assignments)
    recipe = dataclasses.replace(
        recipe,
        seed=recipe.seed if seed is None else seed,
        data=dataclasses.replace(recipe.data, data_dir=str(data_dir.resolve())),
    )
    if not (archive / "MtSCCD").exists():
        with bar("generate scenes") as advance:
            synthetic.write_archive(
                archive, scale=scale, image_size=recipe.data.image_size, seed=recipe.seed, progress=advance
            )
    for name in ("mtsccd_lusc", "mtsccd_lucd"):
        with bar(f"build {name}") as advance:
            tfds_builders.build(name, archive=archive, data_dir=data_dir, config=recipe.data.config, progress=advance)
    with run_cache(workdir):
        done = fit(recipe, workdir)
        passes = Embedded(load_trained(workdir), recipe.data)
        scene_rows = [evaluate(passes, split) for split in default_splits(recipe.data)]
        change_rows = detect(passes, METHODS, recipe.change.objective)
    report = page.write([workdir], workdir / "report", REPORTS)
    for row in (*scene_rows, *change_rows):
        scores = "  ".join(f"{name} {row.metrics[name]['value']:.3f}" for name in ("oa", "kappa"))
        console.print(f"{row.protocol:<6} {row.split:<11} {scores}  (n = {row.n:,})")
    console.print(f"report: {report}", style="bold")
    metrics = {
        (row.protocol, row.split): {name: metric["value"] for name, metric in row.metrics.items()}
        for row in (*scene_rows, *change_rows)
    }
    return {
        "scene": {row.split: metrics[row.protocol, row.split] for row in scene_rows},
        "change": {
            method: {
                row.split: metrics[method, row.split] | {"threshold": row.threshold}
                for row in change_rows
                if row.protocol == method
            }
            for method in METHODS
        },
        "train_images_per_s": done.images_per_s,
        "seconds": time.perf_counter() - started,
        "report": report,
        "rows": len(scene_rows) + len(change_rows),
    }
