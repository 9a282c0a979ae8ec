"""`bench models|input|distance|threshold|build`: throughput rows, by one protocol."""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtsccd_jax.cli.options import Json, add_device, add_input, at_least, batch, command, input_data

if TYPE_CHECKING:
    from mtsccd_jax.perf.bench.windows import Protocol
    from mtsccd_jax.perf.records import Cells, Measurement, RecordFile

OUT = Path("runs/bench")

Table = Callable[[Any], "list[Cells]"]


def add(commands: Any) -> None:
    """Declares the commands of this file."""
    bench = commands.add_parser(
        "bench", help="throughput of the engine's parts", epilog="example: mtsccd-jax bench models --models resnet18"
    )
    bench.set_defaults(
        run=lambda options: bench.error("name one of models, input, distance, threshold, build"),
        json=False,
        quiet=False,
    )
    of_bench = bench.add_subparsers(title="commands", metavar="COMMAND")
    _add_models(of_bench)
    _add_input(of_bench)
    _add_distance(of_bench)
    _add_threshold(of_bench)
    _add_build(of_bench)


def _add_models(commands: Any) -> None:
    models = command(
        commands,
        "models",
        run_models,
        "train and infer networks on made-up scenes that lie on the devices",
        "mtsccd-jax bench models --models resnet18 vit_tiny_patch16 --image-size 96",
        "mtsccd-jax bench models --models all --batch 64 auto --precision bfloat16 --device gpu --out runs/h200",
    )
    models.add_argument("--models", nargs="+", default=["resnet18"], metavar="NAME", help="networks, or all")
    models.add_argument("--tasks", nargs="+", choices=("train", "infer"), default=["train", "infer"])
    models.add_argument(
        "--batch",
        nargs="+",
        type=batch,
        default=[32],
        metavar="N|auto",
        help="images a step; auto: the most that fit, up to 2,048 a device, or 64 on a CPU",
    )
    models.add_argument("--precision", nargs="+", choices=("float32", "bfloat16"), default=["float32"])
    models.add_argument("--image-size", nargs="+", type=at_least(1), default=[224], metavar="N", help="pixels a side")
    models.add_argument("--parallel", nargs="+", choices=("jit", "pmap"), default=["jit"])
    _add_common(models)


def _add_input(commands: Any) -> None:
    from_disk = command(
        commands,
        "input",
        run_input,
        "read, decode, batch, transfer and augment images, each alone and together",
        "mtsccd-jax bench input --images 4096",
        "mtsccd-jax bench input --dataset mtsccd_lusc --data-dir tfds --stages read decode all",
    )
    stages = ("read", "decode", "batch", "transfer", "augment", "all")
    from_disk.add_argument("--stages", nargs="+", choices=stages, default=list(stages))
    from_disk.add_argument("--split", default="train", help="of the input (default: train)")
    from_disk.add_argument("--images", type=at_least(1), default=2048, metavar="N", help="rows of a pass")
    from_disk.add_argument("--batch", type=at_least(1), default=64, metavar="N", help="rows a batch")
    from_disk.add_argument("--image-size", type=at_least(1), default=224, metavar="N", help="pixels a side")
    from_disk.add_argument("--threads", type=at_least(1), default=None, metavar="N", help="default: one a core")
    add_input(from_disk)
    _add_common(from_disk)


def _add_distance(commands: Any) -> None:
    distance = command(
        commands,
        "distance",
        run_distance,
        "measure distances between features and find the nearest",
        "mtsccd-jax bench distance --rows 4096 --gallery 20000 --width 2048 -k 10 100",
    )
    operations = ("paired", "pairwise", "nearest_neighbors")
    distance.add_argument("--operations", nargs="+", choices=operations, default=list(operations))
    distance.add_argument("--rows", nargs="+", type=at_least(1), default=[4096], metavar="N", help="queries")
    distance.add_argument("--gallery", type=at_least(1), default=None, metavar="M", help="rows (default: as queries)")
    distance.add_argument("--width", nargs="+", type=at_least(1), default=[512], metavar="D", help="of a feature")
    distance.add_argument("-k", nargs="+", type=at_least(1), default=[10], help="neighbours")
    distance.add_argument("--metric", choices=("euclidean", "cosine"), default="euclidean")
    _add_common(distance)


def _add_threshold(commands: Any) -> None:
    threshold = command(
        commands,
        "threshold",
        run_threshold,
        "choose the best of all thresholds",
        "mtsccd-jax bench threshold --pairs 10000 1000000 100000000",
    )
    forms = ("host", "device", "histogram")
    threshold.add_argument(
        "--forms", nargs="+", choices=forms, default=list(forms), help="where distances are, or streamed counts of them"
    )
    sizes = [10_000, 100_000, 1_000_000, 10_000_000]
    threshold.add_argument("--pairs", nargs="+", type=at_least(1), default=sizes, metavar="N")
    threshold.add_argument("--objective", choices=("kappa", "oa", "f1", "balanced"), default="kappa")
    _add_common(threshold)


def _add_build(commands: Any) -> None:
    build = command(
        commands,
        "build",
        run_build,
        "build a TFDS data set from generated JPEGs, by number of processes",
        "mtsccd-jax bench build --images 8000 --workers 1 2 4",
    )
    build.add_argument("--images", type=at_least(10), default=8000, metavar="N", help="JPEGs of 300 x 300 pixels")
    build.add_argument("--workers", nargs="+", type=at_least(1), default=[1, 2], metavar="N", help="processes")
    build.add_argument("--windows", type=at_least(1), default=5, metavar="N", help="builds that count (default: 5)")
    _add_out(build)


def _add_common(parser: argparse.ArgumentParser) -> None:
    """--windows, --window-s, --device and --out."""
    parser.add_argument("--windows", type=at_least(1), default=10, metavar="N", help="timed windows (default: 10)")
    parser.add_argument(
        "--window-s", type=seconds, default=0.5, metavar="S", help="seconds a window at least (default: 0.5)"
    )
    add_device(parser)
    _add_out(parser)


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=OUT, metavar="DIR", help=f"of the rows, JSON and CSV (default: {OUT})"
    )


def seconds(text: str) -> float:
    """The parser of a time that is not negative."""
    if not 0 <= (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a time of 0 seconds or more")
    return value


def run_models(options: argparse.Namespace) -> Json:
    """Networks on scenes that lie on the devices."""
    from mtsccd_jax.perf.bench import models

    chosen = models.chosen_models(options.models)
    settings = models.Settings(
        models=chosen,
        tasks=tuple(options.tasks),
        batches=tuple(options.batch),
        precisions=tuple(options.precision),
        image_sizes=tuple(options.image_size),
        parallels=tuple(options.parallel),
        protocol=_protocol(options),
    )
    record = _record(options, "models", settings.stem, models.table)
    return _done(options, record, models.run(settings, record))


def run_input(options: argparse.Namespace) -> Json:
    """The way of images from the disk to a network."""
    from mtsccd_jax.perf.bench import input as bench_input

    data = dataclasses.replace(
        bench_input.MADE_UP,
        dataset="mtsccd_lusc" if options.data_dir is not None else None,
        image_size=options.image_size,
        crop_padding=min(16, options.image_size - 1),
    )
    settings = bench_input.Settings(
        data=input_data(options, data),
        split=options.split,
        stages=tuple(options.stages),
        images=options.images,
        batch=options.batch,
        threads=options.threads,
        protocol=_protocol(options),
    )
    record = _record(options, "input", "input")
    return _done(options, record, bench_input.run(settings, record))


def run_distance(options: argparse.Namespace) -> Json:
    """Distances and nearest neighbours."""
    from mtsccd_jax.perf.bench import distance

    settings = distance.Settings(
        operations=tuple(options.operations),
        rows=tuple(options.rows),
        gallery=options.gallery,
        widths=tuple(options.width),
        ks=tuple(options.k),
        metric=options.metric,
        protocol=_protocol(options),
    )
    record = _record(options, "distance", "distance")
    return _done(options, record, distance.run(settings, record))


def run_threshold(options: argparse.Namespace) -> Json:
    """Threshold searches."""
    from mtsccd_jax.perf.bench import threshold

    settings = threshold.Settings(
        forms=tuple(options.forms),
        pairs=tuple(options.pairs),
        objective=options.objective,
        protocol=_protocol(options),
    )
    record = _record(options, "threshold", "threshold")
    return _done(options, record, threshold.run(settings, record))


def run_build(options: argparse.Namespace) -> Json:
    """TFDS builds."""
    from mtsccd_jax.perf.bench import build

    settings = build.Settings(images=options.images, workers=tuple(options.workers), windows=options.windows)
    record = _record(options, "build", "build")
    return _done(options, record, build.run(settings, record))


def _protocol(options: argparse.Namespace) -> "Protocol":
    from mtsccd_jax.perf.bench.windows import Protocol

    return Protocol(windows=options.windows, window_s=options.window_s)


def _record(options: argparse.Namespace, benchmark: str, stem: str, table: Table | None = None) -> "RecordFile":
    """The record of a benchmark in --out, on the devices of --device."""
    from mtsccd_jax.engine.parallel import find_devices
    from mtsccd_jax.perf.records import RecordFile, command_line, conditions_slug
    from mtsccd_jax.provenance import environment

    find_devices(getattr(options, "device", None))
    here = environment()
    stem = f"benchmark-{stem}-{conditions_slug(here)}"
    return RecordFile(options.out, stem, benchmark=benchmark, command=command_line(), environment=here, table=table)


def _done(options: argparse.Namespace, record: "RecordFile", rows: "list[Measurement]") -> Json:
    """What a benchmark prints: its files and rows, for people as a table."""
    from mtsccd_jax.perf.records import rich_table, summary
    from mtsccd_jax.progress import console

    record.write()
    console.print(rich_table(rows))
    return {"csv": record.csv, "record": record.json, "rows": summary(rows)}
