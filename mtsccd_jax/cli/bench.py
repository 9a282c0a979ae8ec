"""`bench models|input|distance|threshold|build`: throughput rows, all measured in the same way."""

import argparse
import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mtsccd_jax.cli.options import Json, add_device, add_input, at_least, batch, command, directory, input_data, number
from mtsccd_jax.perf.bench.settings import (
    NO_SOURCE,
    BuildSettings,
    DistanceSettings,
    InputSettings,
    ModelSettings,
    ThresholdSettings,
    TimedWindows,
)
from mtsccd_jax.recipes.config import Data
from mtsccd_jax.recipes.ranges import Range

if TYPE_CHECKING:
    from mtsccd_jax.perf.records import Cells, Measurement, RecordFile

OUT = Path("runs/bench")

Settings = TypeVar("Settings")
Table = Callable[[Any], "list[Cells]"]


def add(commands: Any) -> None:
    """Declare the commands of this file."""
    bench = commands.add_parser(
        "bench", help="throughput of the engine's parts", epilog="example: mtsccd-jax bench models --models resnet18"
    )
    bench.set_defaults(
        run=lambda options: bench.error("name one of models, input, distance, threshold, build"),
        json=False,
        quiet=False,
    )
    parts = bench.add_subparsers(title="commands", metavar="COMMAND")
    models = command(
        parts,
        "models",
        run_models,
        "train and infer networks on made-up scenes that lie on the devices",
        "mtsccd-jax bench models --models resnet18 vit_tiny_patch16 --image-size 96",
        "mtsccd-jax bench models --models all --batch 64 auto --precision bfloat16 --device gpu --out runs/h200",
    )
    from_disk = command(
        parts,
        "input",
        run_input,
        "read, decode, batch, transfer and augment images, each alone and together",
        "mtsccd-jax bench input --images 4096",
        f"mtsccd-jax bench input --dataset {Data.dataset} --data-dir tfds --stages read decode all",
        "mtsccd-jax bench input --feed h100 --image-size 300",
    )
    distance = command(
        parts,
        "distance",
        run_distance,
        "measure distances between features and find the nearest",
        "mtsccd-jax bench distance --rows 4096 --gallery 20000 --width 2048 -k 10 100",
    )
    threshold = command(
        parts,
        "threshold",
        run_threshold,
        "choose the best of all thresholds",
        "mtsccd-jax bench threshold --pairs 10000 1000000 100000000",
    )
    build = command(
        parts,
        "build",
        run_build,
        "build a TFDS data set from generated JPEGs, by number of processes",
        "mtsccd-jax bench build --images 8000 --workers 1 2 4",
    )
    add_settings(models, ModelSettings)
    add_settings(from_disk, InputSettings)
    add_input(from_disk)
    add_settings(distance, DistanceSettings)
    add_settings(threshold, ThresholdSettings)
    add_settings(build, BuildSettings)
    for parser in (models, from_disk, distance, threshold):
        add_settings(parser, TimedWindows)
        add_device(parser)
    for parser in (models, from_disk, distance, threshold, build):
        parser.add_argument(
            "--out", type=directory, default=OUT, metavar="DIR", help=f"of the rows, JSON and CSV (default: {OUT})"
        )


def add_settings(parser: argparse.ArgumentParser, kind: type) -> None:
    """Add an option for every field of a settings class that the command line can set."""
    hints = typing.get_type_hints(kind)
    for field in _option_fields(kind):
        flag = f"-{field.name}" if len(field.name) == 1 else f"--{field.name.replace('_', '-')}"
        arguments = _arguments(hints[field.name], field.metadata)
        parser.add_argument(flag, default=field.default, help=field.metadata["help"], **arguments)


def settings_from(options: argparse.Namespace, kind: type[Settings]) -> Settings:
    """Return settings of a class with the values of the command line."""
    values = {field.name: getattr(options, field.name) for field in _option_fields(kind)}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def _option_fields(kind: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(kind) if field.metadata]


def _arguments(hint: Any, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return how argparse reads a value of a type; a tuple is one or more values."""
    inner = [item for item in typing.get_args(hint) if item is not types.NoneType]
    origin = typing.get_origin(hint)
    if origin is tuple:
        return {"nargs": "+"} | _arguments(inner[0], metadata)
    if origin is typing.Literal:
        return {"choices": inner}
    if origin in (types.UnionType, typing.Union):
        return _arguments(inner[0], metadata) if len(inner) == 1 else {"type": batch, "metavar": metadata["metavar"]}
    if hint is int:
        return {"type": at_least(metadata["least"]), "metavar": metadata["metavar"] or "N"}
    return {
        "type": number(float, Range(least=0, most=3_600)) if hint is float else hint,
        "metavar": metadata["metavar"],
    }


def run_models(options: argparse.Namespace) -> Json:
    """Measure networks on scenes that lie on the devices."""
    from mtsccd_jax.perf.bench import models

    settings = settings_from(options, ModelSettings)
    settings = dataclasses.replace(settings, models=models.chosen_models(settings.models))
    record = _record(options, "models", settings.stem, models.table)
    return _publish(options, record, models.run(settings, record, settings_from(options, TimedWindows)))


def run_input(options: argparse.Namespace) -> Json:
    """Measure the way of images from the disk to a network."""
    from mtsccd_jax.perf.bench import input as bench_input

    default = Data.dataset if options.data_dir is not None else None
    data = input_data(options, dataclasses.replace(NO_SOURCE, dataset=default))
    settings = dataclasses.replace(settings_from(options, InputSettings), data=data)
    record = _record(options, "input", "input")
    return _publish(options, record, bench_input.run(settings, record, settings_from(options, TimedWindows)))


def run_distance(options: argparse.Namespace) -> Json:
    """Measure distances and nearest neighbours."""
    from mtsccd_jax.perf.bench import distance

    record = _record(options, "distance", "distance")
    settings = settings_from(options, DistanceSettings)
    return _publish(options, record, distance.run(settings, record, settings_from(options, TimedWindows)))


def run_threshold(options: argparse.Namespace) -> Json:
    """Measure threshold searches."""
    from mtsccd_jax.perf.bench import threshold

    record = _record(options, "threshold", "threshold")
    settings = settings_from(options, ThresholdSettings)
    return _publish(options, record, threshold.run(settings, record, settings_from(options, TimedWindows)))


def run_build(options: argparse.Namespace) -> Json:
    """Measure TFDS builds."""
    from mtsccd_jax.perf.bench import build

    record = _record(options, "build", "build")
    return _publish(options, record, build.run(settings_from(options, BuildSettings), record))


def _record(options: argparse.Namespace, benchmark: str, stem: str, table: Table | None = None) -> "RecordFile":
    """Open the record of a benchmark in --out, on the devices of --device."""
    from mtsccd_jax.engine.parallel import find_devices
    from mtsccd_jax.perf.records import RecordFile, command_line, conditions_slug
    from mtsccd_jax.provenance import environment

    find_devices(getattr(options, "device", None))
    here = environment()
    stem = f"benchmark-{stem}-{conditions_slug(here)}"
    return RecordFile(options.out, stem, benchmark=benchmark, command=command_line(), environment=here, table=table)


def _publish(options: argparse.Namespace, record: "RecordFile", rows: "list[Measurement]") -> Json:
    """Write the record, show its rows as a table, and return the JSON; the status is 3 where nothing was measured."""
    from mtsccd_jax.perf.records import rich_table, summary
    from mtsccd_jax.progress import console

    record.write()
    console.print(rich_table(rows))
    if all(row.rate is None for row in rows):
        console.print("nothing could be measured; the rows say why", style="red")
        options.status = 3
    return {"csv": record.csv, "record": record.json, "rows": summary(rows)}
