"""`evaluate`, `change`, `predict`, `embed` and `retrieve`: what a trained network says."""

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtsccd_jax.cli.options import (
    Json,
    add_input,
    add_override,
    add_split,
    add_workdir,
    at_least,
    command,
    input_data,
    share,
)
from mtsccd_jax.errors import InputError

logger = logging.getLogger(__name__)


def add(commands: Any) -> None:
    """Declares the commands of this file."""
    evaluate = command(
        commands,
        "evaluate",
        with_programs(run_evaluate),
        "metrics of scene classification, of one class or several labels a scene",
        "mtsccd-jax evaluate runs/demo --split test_a --split test_b",
        "mtsccd-jax evaluate runs/reben --set labels.threshold=validation",
    )
    add_workdir(evaluate)
    add_override(evaluate)
    add_input(evaluate)
    add_split(evaluate)

    change = command(
        commands,
        "change",
        with_programs(run_change),
        "change detection",
        "mtsccd-jax change runs/demo --method cfsm --objective f1",
    )
    add_workdir(change)
    add_override(change)
    change.add_argument(
        "--method",
        choices=["cfsm", "cdc_1", "cdc_2", "sscd"],
        action="append",
        default=None,
        help="repeatable (default: every method that the network supports)",
    )
    change.add_argument("--objective", choices=["kappa", "oa", "f1", "balanced"], default=None, help="of the threshold")
    change.add_argument("--changed-above", type=share, default=None, help="changed fraction from which a pair counts")
    add_input(change, folder=False)
    add_split(change)

    predict = command(
        commands,
        "predict",
        with_programs(run_predict),
        "labels and probabilities by the network's own head for unlabelled images (and change, given A/ and B/)",
        "mtsccd-jax predict runs/demo my_images --out labels.csv",
    )
    add_workdir(predict)
    predict.add_argument("images", type=Path, help="folder of images, or of A/ and B/ for pairs")
    predict.add_argument("--out", type=Path, required=True, help="CSV file to write")
    predict.add_argument("--skip-bad", action="store_true", help="skip, count and name what cannot be read")

    embed = command(
        commands,
        "embed",
        with_programs(run_embed),
        "features (and pair distances) of any input",
        "mtsccd-jax embed runs/demo --folder my_images --split all --out features.npz",
    )
    add_workdir(embed)
    add_input(embed)
    embed.add_argument(
        "--split", default=None, help="default: test_a or test of TFDS data, all of folders and pair lists"
    )
    embed.add_argument("--out", type=Path, required=True, help="NPZ file to write")

    retrieve = command(
        commands,
        "retrieve",
        with_programs(run_retrieve),
        "image search: its metrics, or the images nearest to a query",
        "mtsccd-jax retrieve runs/demo --query my_image.jpg -k 10",
    )
    add_workdir(retrieve)
    add_override(retrieve)
    add_input(retrieve, pairs=False)
    retrieve.add_argument(
        "--query",
        type=Path,
        default=None,
        metavar="IMAGE",
        help="search with this image, or folder of a patch's bands, alone",
    )
    retrieve.add_argument("-k", type=at_least(1), default=10, help="hits of the query (default: %(default)s)")
    retrieve.add_argument("--gallery", default=None, metavar="SPLIT", help="split that is searched (default: train)")
    add_split(retrieve)


def with_programs(run: Callable[[argparse.Namespace], Json]) -> Callable[[argparse.Namespace], Json]:
    """The command with its compiled programs kept in the work directory that it reads."""

    def run_with_programs(options: argparse.Namespace) -> Json:
        from mtsccd_jax.engine.compilation import run_cache
        from mtsccd_jax.engine.workdir import RECIPE_FILE

        if not (options.workdir / RECIPE_FILE).exists():  # nor is a folder made where none of a run is
            return run(options)
        with run_cache(options.workdir):
            return run(options)

    return run_with_programs


def run_evaluate(options: argparse.Namespace) -> Json:
    """Scene classification with the network's own head, or with the SVM that the recipe asks for."""
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.tasks.feature_cache import Embedded
    from mtsccd_jax.tasks.labels.evaluate import evaluate_labels
    from mtsccd_jax.tasks.scenes.classifier import scene_classifier
    from mtsccd_jax.tasks.scenes.evaluate import default_splits, evaluate
    from mtsccd_jax.tasks.write_row import said

    trained = load_trained(options.workdir, options.set)
    passes = Embedded(trained, input_data(options, trained.recipe.data))
    several = trained.recipe.model.task == "labels"
    splits = options.split or default_splits(passes.data)
    if several and not options.split and trained.recipe.labels.threshold == "validation":
        splits = [split for split in splits if split != "validation"]  # whose scenes the thresholds were chosen on
    rows = [(evaluate_labels if several else evaluate)(passes, split) for split in splits]
    for row in rows:
        logger.info(said(row))
    result = {row.split: {name: metric["value"] for name, metric in row.metrics.items()} for row in rows}
    if trained.recipe.scene.classifier == "svm":
        return {"rows": len(rows), "svm": {"c": scene_classifier(passes).c}, **result}
    return {"rows": len(rows), **result}


def run_change(options: argparse.Namespace) -> Json:
    """Change detection by the methods asked for, or by every one that the network supports."""
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.tasks.change.evaluate import detect, supported_methods
    from mtsccd_jax.tasks.feature_cache import Embedded
    from mtsccd_jax.tasks.write_row import said

    trained = load_trained(options.workdir, options.set)
    passes = Embedded(trained, input_data(options, trained.recipe.data))
    methods = options.method or supported_methods(trained)
    rows = detect(passes, methods, options.objective or trained.recipe.change.objective, splits=options.split)
    for row in rows:
        logger.info(said(row))
    result: dict[str, Any] = {"rows": len(rows)}
    for row in rows:
        metrics = {name: metric["value"] for name, metric in row.metrics.items()}
        result.setdefault(row.protocol, {})[row.split] = metrics | {"threshold": row.threshold}
    return result


def run_predict(options: argparse.Namespace) -> Json:
    """Labels and probabilities by the network's own head and, given pairs, change for unlabelled images."""
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.tasks.predict import predict

    trained = load_trained(options.workdir)
    done = predict(trained, options.images, options.out, skip_bad=options.skip_bad)
    return {"images": done.images, "skipped": done.skipped, "out": options.out}


def run_embed(options: argparse.Namespace) -> Json:
    """Features (and pair distances) of any input."""
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
    """Metrics of a search with every image of the splits, or the hits of one query."""
    from mtsccd_jax.engine.evaluate import load_trained
    from mtsccd_jax.tasks.feature_cache import Embedded
    from mtsccd_jax.tasks.scenes.evaluate import default_splits
    from mtsccd_jax.tasks.search.evaluate import evaluate_retrieval, retrieve
    from mtsccd_jax.tasks.write_row import said

    gallery = [] if options.gallery is None else [f"retrieval.gallery={options.gallery}"]
    trained = load_trained(options.workdir, [*options.set, *gallery])
    passes = Embedded(trained, input_data(options, trained.recipe.data))
    searched = trained.recipe.retrieval.gallery
    if options.query is not None:
        if options.split:
            raise InputError("--query and --split: search with one image, or with those of a split")
        found = retrieve(passes, options.query, options.k)
        hits = [{"name": hit.name, "labels": hit.labels, "distance": hit.distance} for hit in found.hits]
        about = {"query": options.query, "gallery": searched, "images": found.searched}
        return about | {"hits": hits, "picture": found.picture}
    rows = [evaluate_retrieval(passes, split) for split in options.split or default_splits(passes.data)]
    for row in rows:
        logger.info(said(row))
    result: dict[str, Any] = {"rows": len(rows), "gallery": searched}
    for row in rows:
        result[row.split] = {name: metric["value"] for name, metric in row.metrics.items()} | {"queries": row.n}
    return result
