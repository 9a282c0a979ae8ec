"""Building a TFDS data set in both file formats: images/s and memory, by the number of processes."""

import importlib.util
import json
import logging
import subprocess
import tempfile
from pathlib import Path

from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.perf.bench.jpegs import DATASET, SIDE, in_archive, write_jpegs
from mtsccd_jax.perf.bench.one_build import measured
from mtsccd_jax.perf.bench.rows import line
from mtsccd_jax.perf.bench.settings import BuildSettings
from mtsccd_jax.perf.records import Measurement, RecordFile, Scalar, measurement
from mtsccd_jax.perf.timing import Timing

logger = logging.getLogger(__name__)

UNIT = "images/s"


def run(settings: BuildSettings, record: RecordFile) -> list[Measurement]:
    """Measure builds from generated JPEGs, for every number of processes.

    Every build runs in a fresh process, as `data build` does it, with all headers and end marks checked. The numbers of
    processes take turns; the first turn does not count.
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
        builds: dict[int, list[dict[str, float]]] = {workers: [] for workers in due}
        for turn in range(1 + settings.windows):
            for workers in due if turn % 2 == 0 else reversed(due):
                place = Path(folder) / f"tfds-{workers}-{turn}"
                built = _built(Path(folder) / "archive", place, workers)
                if turn:
                    builds[workers].append(built)
    for workers in due:
        row = _row(conditions[workers], settings.images, image_kb, builds[workers])
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


def _row(conditions: dict[str, Scalar], images: int, image_kb: float, builds: list[dict[str, float]]) -> Measurement:
    timing = Timing(tuple(built["s"] for built in builds))
    busy_s = Timing(tuple(built["processor_s"] for built in builds)).median_s
    details: dict[str, Scalar] = {
        "image_kb": image_kb,
        # Processor seconds of all processes vary less on a busy machine than the clock.
        "images_per_processor_s": images / busy_s,
        "megabytes_per_s": images * image_kb / 1000 / timing.median_s,
        "main_mib": max(built["main_mib"] for built in builds),
        "worker_mib": max(built["worker_mib"] for built in builds),
    }
    return measurement(DATASET, conditions, UNIT, timing, images, details)
