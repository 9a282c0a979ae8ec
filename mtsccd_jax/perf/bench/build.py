"""Building a TFDS data set in both file formats: images/s by the number of processes, and the memory of each."""

import importlib.util
import json
import logging
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.perf.bench.jpegs import SIDE, in_archive, write_jpegs
from mtsccd_jax.perf.bench.one_build import measured
from mtsccd_jax.perf.bench.rows import line
from mtsccd_jax.perf.records import Measurement, RecordFile, Scalar, measurement
from mtsccd_jax.perf.timing import Timing

logger = logging.getLogger(__name__)

UNIT = "images/s"
DATASET = "mtsccd_lusc"


@dataclass(frozen=True)
class Settings:
    """How many images, by how many processes, and how often; every window is a build of its own."""

    images: int = 8000
    workers: tuple[int, ...] = (1, 2)
    windows: int = 5


def run(settings: Settings, record: RecordFile) -> list[Measurement]:
    """The rows of every number of processes, on JPEGs that are made for it.

    Every build is by a fresh process, as `data build` does it, with all headers and end marks checked; the first does
    not count. Numbers of processes take turns.

    Raises:
        InputError: TFDS is not installed.
        RunError: a build failed.
    """
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise InputError("tensorflow_datasets is not installed and builds need it; install it with pip")
    conditions: dict[int, dict[str, Scalar]] = {
        workers: {"images": settings.images, "image_size": SIDE, "workers": workers} for workers in settings.workers
    }
    there = {workers: record.find(DATASET, case, UNIT) for workers, case in conditions.items()}
    due = [workers for workers, row in there.items() if row is None]
    rows = [row for row in there.values() if row is not None]
    with tempfile.TemporaryDirectory(prefix="bench-build-") as folder:
        if due:
            image_kb = write_jpegs(Path(folder) / "archive", settings.images, in_archive)
        figures: dict[int, list[dict[str, float]]] = {workers: [] for workers in due}
        for turn in range(1 + settings.windows):
            for workers in due if turn % 2 == 0 else reversed(due):
                place = Path(folder) / f"tfds-{workers}-{turn}"
                figure = _built(Path(folder) / "archive", place, workers)
                if turn:
                    figures[workers].append(figure)
    for workers in due:
        row = _row(conditions[workers], settings.images, image_kb, figures[workers])
        record.add(row)
        logger.info(line(row))
        rows.append(row)
    return rows


def _built(archive: Path, place: Path, workers: int) -> dict[str, float]:
    try:
        return measured(DATASET, archive, place, workers)
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "").strip().splitlines()[-1:] or [f"status {error.returncode}"]
        raise RunError(f"the build by {workers} processes failed: {last[0]}") from error
    except json.JSONDecodeError as error:
        raise RunError(f"the build by {workers} processes said no result: {error}") from error


def _row(conditions: dict[str, Scalar], images: int, image_kb: float, figures: list[dict[str, float]]) -> Measurement:
    timing = Timing(tuple(figure["s"] for figure in figures))
    busy_s = Timing(tuple(figure["processor_s"] for figure in figures)).median_s
    details: dict[str, Scalar] = {
        "image_kb": image_kb,
        # Processor seconds of all processes, which a busy machine disturbs less than the clock.
        "images_per_processor_s": images / busy_s,
        "megabytes_per_s": images * image_kb / 1000 / timing.median_s,
        "main_mib": max(figure["main_mib"] for figure in figures),
        "worker_mib": max(figure["worker_mib"] for figure in figures),
    }
    return measurement(DATASET, conditions, UNIT, timing, images, details)
