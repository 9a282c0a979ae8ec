"""The way of an image from the disk to a network, each stage alone and all together: images/s and MB/s."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from mtsccd_jax.data.augment import augment
from mtsccd_jax.data.bands import normalize
from mtsccd_jax.data.decode import ImageBatch
from mtsccd_jax.data.order import permutation
from mtsccd_jax.data.sources import Source, open_pairs, open_source
from mtsccd_jax.data.stream import stream, to_device, usable_cores
from mtsccd_jax.engine.parallel import Parallel, make_parallel
from mtsccd_jax.errors import InputError
from mtsccd_jax.perf.bench.feed import measure_feeds
from mtsccd_jax.perf.bench.jpegs import SIDE, in_class_folders, write_jpegs
from mtsccd_jax.perf.bench.rows import Case, Ready, run_cases
from mtsccd_jax.perf.bench.settings import InputSettings, Stage, TimedWindows
from mtsccd_jax.perf.records import Measurement, RecordFile, Scalar
from mtsccd_jax.recipes.config import Data

logger = logging.getLogger(__name__)

UNIT = "images/s"
_CROP_PADDING = 16


@runtime_checkable
class Encoded(Protocol):
    """A source that can return its images as the files they are stored as."""

    def encoded(self, row_b: np.ndarray) -> list[bytes]:
        """Return the files of all images of the rows."""


def run(settings: InputSettings, record: RecordFile, windows: TimedWindows) -> list[Measurement]:
    """Measure every stage. Files lie in the page cache: the first pass, which does not count, reads them into it.

    - read: the encoded images of a batch, by all threads.
    - decode: the same images from memory to the network's size, straight into the array of the batch, as in training.
    - batch: copying decoded images into such an array, which decoding in place saves.
    - transfer: uint8 batches to the devices, one after the other.
    - augment: crop, flip, turn and normalisation of a batch on the devices.
    - all: batches read ahead, decoded, transferred in the background and augmented.

    Or, with `settings.feed`, how many accelerators such batches keep busy.
    """
    with _opened(settings) as source:
        if not source.image_fields or not isinstance(source, Encoded):
            raise InputError(f"{source.name}: holds no encoded images, and `bench input` measures nothing else")
        conditions: dict[str, Scalar] = {
            "source": source.dataset if _is_named(settings.data) else f"jpeg{SIDE}",
            "image_size": settings.image_size,
            "threads": usable_cores() if settings.threads is None else settings.threads,
        }
        if settings.feed is not None:
            return measure_feeds(source, conditions, settings, record, windows)
        rows = min(settings.images, len(source))
        if rows < settings.batch:
            raise InputError(f"--batch {settings.batch}: more than the {rows} rows of a pass over {source.name}")
        order_sb = permutation(0, 0, len(source))[: rows // settings.batch * settings.batch]
        stages = _Stages(source, order_sb.reshape(-1, settings.batch), settings, make_parallel("jit"))
        conditions["batch"] = settings.batch
        cases = [Case(stage, conditions, UNIT, partial(stages.ready, stage)) for stage in settings.stages]
        return run_cases(cases, record, windows)


def _is_named(data: Data) -> bool:
    """Return whether the data name a source."""
    return any(name is not None for name in (data.pairs, data.folder, data.dataset))


@contextmanager
def _opened(settings: InputSettings) -> Iterator[Source]:
    """Open the source that the settings name, or generated JPEGs in a temporary folder."""
    data = replace(settings.data, image_size=settings.image_size)
    if _is_named(data):
        yield open_pairs(data, settings.split) if data.pairs is not None else open_source(data, settings.split)
        return
    with tempfile.TemporaryDirectory(prefix="bench-input-") as folder:
        image_kb = write_jpegs(Path(folder) / "scenes", settings.images, in_class_folders)
        logger.info(f"made {settings.images:,} JPEGs of {SIDE} x {SIDE} pixels, {image_kb:.0f} kB each")
        yield open_source(replace(data, folder=f"{folder}/scenes"), "all")


class _Stages:
    """One pass of each stage over the same rows."""

    def __init__(self, source: Source, order_sb: np.ndarray, settings: InputSettings, parallel: Parallel):
        parallel.check_batch(settings.batch, "--batch")
        assert isinstance(source, Encoded)
        self.source, self.order_sb, self.parallel = source, order_sb, parallel
        self.encoded = source.encoded
        self.image_size = settings.image_size
        padding = min(_CROP_PADDING, settings.image_size - 1)
        self.data = replace(settings.data, image_size=settings.image_size, crop_padding=padding)
        self.threads = usable_cores() if settings.threads is None else settings.threads
        self.batch = source.read(order_sb[0]) | {"row": order_sb[0].astype(np.int32)}
        # Text stays on the host.
        self.numbers = {name: array for name, array in self.batch.items() if array.dtype.kind in "biuf"}

    def ready(self, stage: Stage) -> Ready:
        """Return the pass of a stage; the stages before it are done."""
        images = len(self.source.image_fields) * self.order_sb.size
        image_bytes: float = 3 * self.image_size**2
        call: Callable[[], Any]
        match stage:
            case "read":
                call = partial(self._on_threads, self.encoded, list(self.order_sb))
                image_bytes = sum(len(file) for rows in self.order_sb for file in self.encoded(rows)) / images
            case "decode":
                files = [self.encoded(rows) for rows in self.order_sb]
                call = partial(self._on_threads, self._decode, files)
            case "batch":
                scenes = [list(self.batch[name]) for name in self.source.image_fields]
                call = partial(self._on_threads, np.stack, scenes * len(self.order_sb))
            case "transfer":
                call = self._transfer
            case "augment":
                call = partial(self._augment_again, self.parallel.place(self.numbers))
            case "all":
                call = self._all
        return Ready(call, images, lambda timing: {"megabytes_per_s": images * image_bytes / timing.median_s / 1e6})

    def _on_threads(self, work: Callable[[Any], Any], items: list[Any]) -> None:
        with ThreadPoolExecutor(self.threads) as pool:
            for _ in pool.map(work, items):
                pass

    def _decode(self, files: list[bytes]) -> None:
        images = ImageBatch(len(files), self.image_size)
        for position, file in enumerate(files):
            images.decode(position, file, f"image {position} of a batch")

    def _transfer(self) -> None:
        for _ in self.order_sb:
            jax.block_until_ready(self.parallel.place(self.numbers))

    def _augment(self, batch: dict[str, jax.Array]) -> list[jax.Array]:
        """Return the images of a batch as the network input of training."""
        return [_augmented(self.data, batch["row"], batch[name]) for name in self.source.image_fields]

    def _augment_again(self, batch: dict[str, jax.Array]) -> list[list[jax.Array]]:
        return [self._augment(batch) for _ in self.order_sb]

    def _all(self) -> None:
        result: list[jax.Array] = []
        with stream(self.source, self.order_sb, threads=self.threads) as host_batches:
            for batch in to_device(host_batches, self.parallel.place):
                result = self._augment(batch)
        jax.block_until_ready(result)


@partial(jax.jit, static_argnums=0)
def _augmented(data: Data, row_b: jax.Array, image_bhwc: jax.Array) -> jax.Array:
    return normalize(augment(jax.random.PRNGKey(0), row_b, image_bhwc, data), data)
