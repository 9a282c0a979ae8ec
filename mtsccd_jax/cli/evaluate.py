"""`evaluate`, `change`, `predict`, `embed` and `retrieve`: the commands that use a trained network."""

import argparse
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from mtsccd_jax.cli.options import (
    Json,
    add_exclude,
    add_input,
    add_leaks,
    add_override,
    add_processes,
    add_split,
    add_workdir,
    at_least,
    command,
    input_data,
    number,
    path,
)
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.ranges import RANGES
from mtsccd_jax.tasks.change import METHODS

if TYPE_CHECKING:
    from mtsccd_jax.report.rows import Row
    from mtsccd_jax.tasks.feature_cache import FeatureCache

logger = logging.getLogger(__name__)


def add(commands: Any) -> None:
    """Declare the commands of this file."""
    for declare in (_add_evaluate, _add_change, _add_predict, _add_embed, _add_retrieve):
        declare(commands)


def _add_evaluate(commands: Any) -> None:
    evaluate = reader(
        commands,
        "evaluate",
        run_evaluate,
        "metrics of scene classification, of one class or several labels a scene",
        "mtsccd-jax evaluate runs/demo --split test_a --split test_b",
        "mtsccd-jax evaluate runs/reben --set labels.threshold=validation",
    )
    add_override(evaluate)
    add_input(evaluate)
    add_exclude(evaluate)
    add_leaks(evaluate)
    add_split(evaluate)


def _add_change(commands: Any) -> None:
    change = reader(
        commands, "change", run_change, "change detection", "mtsccd-jax change runs/demo --method cfsm --objective f1"
    )
    add_override(change)
    change.add_argument(
        "--method",
        choices=list(METHODS),
        action="append",
        default=None,
        help="repeatable (default: every method that the network supports)",
    )
    change.add_argument("--objective", choices=["kappa", "oa", "f1", "balanced"], default=None, help="of the threshold")
    change.add_argument(
        "--changed-above",
        type=number(float, RANGES["data.changed_above"]),
        default=None,
        help="changed fraction from which a pair counts",
    )
    add_input(change, folder=False)
    add_exclude(change)
    add_leaks(change)
    add_split(change)


def _add_predict(commands: Any) -> None:
    predict = reader(
        commands,
        "predict",
        run_predict,
        "labels and probabilities by the network's own head for unlabelled images (and change, given A/ and B/)",
        "mtsccd-jax predict runs/demo my_images --out labels.csv",
    )
    predict.add_argument("images", type=path, help="folder of images, or of A/ and B/ for pairs")
    predict.add_argument("--out", type=path, required=True, help="CSV file to write")
    predict.add_argument("--skip-bad", action="store_true", help="skip, count and name what cannot be read")


def _add_embed(commands: Any) -> None:
    embed = reader(
        commands,
        "embed",
        run_embed,
        "features (and pair distances) of any input",
        "mtsccd-jax embed runs/demo --folder my_images --split all --out features.npz",
    )
    add_input(embed)
    embed.add_argument(
        "--split", default=None, help="default: test_a or test of TFDS data, all of folders and pair lists"
    )
    embed.add_argument("--out", type=path, required=True, help="NPZ file to write")


def _add_retrieve(commands: Any) -> None:
    retrieve = reader(
        commands,
        "retrieve",
        run_retrieve,
        "image search: its metrics, or the images nearest to a query",
        "mtsccd-jax retrieve runs/demo --query my_image.jpg -k 10",
    )
    add_override(retrieve)
    add_input(retrieve, pairs=False)
    retrieve.add_argument(
        "--query",
        type=path,
        default=None,
        metavar="IMAGE",
        help="search with this image, or folder of a patch's bands, alone",
    )
    retrieve.add_argument("-k", type=at_least(1), default=10, help="hits of the query (default: %(default)s)")
    retrieve.add_argument("--gallery", default=None, metavar="SPLIT", help="split that is searched (default: train)")
    add_split(retrieve)


def reader(
    commands: Any, name: str, run: Callable[[argparse.Namespace], Json], help_text: str, *examples: str
) -> argparse.ArgumentParser:
    """Declare a command that reads a work directory."""
    parser = command(commands, name, with_programs(run), help_text, *examples)
    add_workdir(parser)
    parser.add_argument(
        "--untrusted",
        action="store_true",
        help="take no compiled programs from WORKDIR, which are code of whoever wrote there",
    )
    add_processes(parser)
    return parser


def with_programs(run: Callable[[argparse.Namespace], Json]) -> Callable[[argparse.Namespace], Json]:
    """Wrap a command so that its compiled programs are kept in the work directory that it reads."""

    def run_with_programs(options: argparse.Namespace) -> Json:
        from mtsccd_jax.engine.compilation import run_cache
        from mtsccd_jax.engine.workdir import RECIPE_FILE

        # No folder is made where there is no run.
        if options.untrusted or not (options.workdir / RECIPE_FILE).exists():
            return run(options)
        with run_cache(options.workdir):
            return run(options)

    return run_with_programs


def open_cache(options: argparse.Namespace, assignments: Sequence[str]) -> "FeatureCache":
    """Load the trained network of the work directory with the data that the command line names."""
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.tasks.feature_cache import FeatureCache

    trained = load_trained(options.workdir, assignments)
    return FeatureCache(trained, input_data(options, trained.recipe.data))


def log(rows: "Sequence[Row]") -> None:
    """Log every row in one line."""
    from mtsccd_jax.tasks.table import summary_line

    for row in rows:
        logger.info(summary_line(row))


def values_of(row: "Row") -> dict[str, Any]:
    """Return the metrics of a row without their intervals."""
    return {name: metric["value"] for name, metric in row.metrics.items()}


def run_evaluate(options: argparse.Namespace) -> Json:
    """Evaluate the classes or labels of scenes, by the network's own head or by the SVM that the recipe asks for."""
    from mtsccd_jax.tasks.scenes.classifier import scene_classifier
    from mtsccd_jax.tasks.table import BY_HEAD

    cache = open_cache(options, options.set)
    recipe = cache.trained.recipe
    kind = BY_HEAD[recipe.model.task]
    splits = options.split or kind.evaluated_splits(recipe, cache.data)
    rows = [kind.evaluate(cache, kind.protocols[0], split) for split in splits]
    log(rows)
    svm = {"svm": {"c": scene_classifier(cache).c}} if recipe.scene.classifier == "svm" else {}
    return {"rows": len(rows), **svm, **{row.split: values_of(row) for row in rows}}


def run_change(options: argparse.Namespace) -> Json:
    """Detect change by the methods asked for, or by every one that the network supports."""
    from mtsccd_jax.tasks.change.evaluate import detect, supported_methods

    cache = open_cache(options, options.set)
    methods = options.method or supported_methods(cache.trained)
    objective = options.objective or cache.trained.recipe.change.objective
    rows = detect(cache, methods, objective, splits=options.split)
    log(rows)
    result: dict[str, Any] = {"rows": len(rows)}
    for row in rows:
        result.setdefault(row.protocol, {})[row.split] = values_of(row) | {"threshold": row.threshold}
    return result


def run_predict(options: argparse.Namespace) -> Json:
    """Predict classes or labels by the network's own head and, given pairs, change, for unlabelled images."""
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.tasks.predict import predict

    trained = load_trained(options.workdir)
    done = predict(trained, options.images, options.out, skip_bad=options.skip_bad)
    return {"images": done.images, "skipped": done.skipped, "out": options.out}


def run_embed(options: argparse.Namespace) -> Json:
    """Write the features (and pair distances) of any input."""
    from mtsccd_jax.data.sources import open_source, scene_splits
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.tasks.predict import embed_to_file

    trained = load_trained(options.workdir)
    data = input_data(options, trained.recipe.data)
    split = options.split
    if split is None and data.folder is None and data.pairs is None:
        split = "test_a" if "test_a" in scene_splits(data) else "test"
    shape = embed_to_file(trained, open_source(data, split or "all"), options.out)
    return {"shape": list(shape), "out": options.out}


def run_retrieve(options: argparse.Namespace) -> Json:
    """Measure a search with every image of the splits, or search with one image."""
    from mtsccd_jax.tasks.search.query import retrieve
    from mtsccd_jax.tasks.table import BY_PROTOCOL

    gallery = [] if options.gallery is None else [f"retrieval.gallery={options.gallery}"]
    cache = open_cache(options, [*options.set, *gallery])
    recipe = cache.trained.recipe
    searched = recipe.retrieval.gallery
    if options.query is not None:
        if options.split:
            raise InputError("--query and --split: search with one image, or with those of a split")
        found = retrieve(cache, options.query, options.k)
        hits = [{"name": hit.name, "labels": hit.labels, "distance": hit.distance} for hit in found.hits]
        about = {"query": options.query, "gallery": searched, "images": found.searched}
        return about | {"hits": hits, "picture": found.picture}
    kind = BY_PROTOCOL["retrieval"]
    splits = options.split or kind.evaluated_splits(recipe, cache.data)
    rows = [kind.evaluate(cache, "retrieval", split) for split in splits]
    log(rows)
    result: dict[str, Any] = {"rows": len(rows), "gallery": searched}
    return result | {row.split: values_of(row) | {"queries": row.n} for row in rows}
