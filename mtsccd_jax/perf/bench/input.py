"""The way of an image from the disk to a network, each stage alone and all together: images/s and MB/s."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, runtime_checkable
from typing import Protocol as Interface

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
from mtsccd_jax.perf.bench.jpegs import SIDE, in_class_folders, write_jpegs
from mtsccd_jax.perf.bench.rows import Case, Ready, run_cases
from mtsccd_jax.perf.bench.windows import DEFAULT, Protocol
from mtsccd_jax.perf.records import Measurement, RecordFile, Scalar
from mtsccd_jax.perf.timing import Timing
from mtsccd_jax.recipes.config import Data

logger = logging.getLogger(__name__)

UNIT = "images/s"
# No source is named: JPEGs are made.
MADE_UP = Data(dataset=None, pair_dataset=None, crop_padding=16)
STAGES = ("read", "decode", "batch", "transfer", "augment", "all")


@dataclass(frozen=True)
class Settings:
    """Which images, and how they are read.

    Attributes:
        data: names the source and says how images are changed; without dataset, folder and pairs, JPEGs are made.
        split: of the source.
        stages: of `STAGES`.
        images: of a pass, at most those of the split; a pass is whole batches.
        batch: images or pairs a batch.
        threads: that read and decode, each a batch of its own; None: one a core.
        protocol: how many passes, how long.
    """

    data: Data = MADE_UP
    split: str = "train"
    stages: tuple[str, ...] = STAGES
    images: int = 2048
    batch: int = 64
    threads: int | None = None
    protocol: Protocol = DEFAULT


@runtime_checkable
class Encoded(Interface):
    """A source whose images can be had as the files they are stored as."""

    def encoded(self, row_b: np.ndarray) -> list[bytes]:
        """The files of all images of the rows."""


def run(settings: Settings, record: RecordFile) -> list[Measurement]:
    """The rows of every stage. Files lie in the page cache: the first pass, which does not count, brings them there.

    - read: the encoded images of a batch, by all threads.
    - decode: the same from memory, to the recipe's size, straight into the array of the batch, as training does.
    - batch: copying decoded images into such an array, which decoding in place saves.
    - transfer: uint8 batches to the devices, one after the other.
    - augment: crop, flip, turn and normalisation of a batch that lies there.
    - all: read ahead, decoded, transferred in the background and augmented.

    Raises:
        InputError: the source cannot be read, holds no images, or fewer than a batch.
    """
    with _opened(settings) as source:
        if not source.image_fields or not isinstance(source, Encoded):
            raise InputError(f"{source.name}: holds no encoded images, and `bench input` measures nothing else")
        steps = min(settings.images, len(source)) // settings.batch
        if not steps:
            rows = min(settings.images, len(source))
            raise InputError(f"--batch {settings.batch}: more than the {rows} rows of a pass over {source.name}")
        order_sb = permutation(0, 0, len(source))[: steps * settings.batch].reshape(steps, settings.batch)
        stages = _Stages(source, order_sb, settings, make_parallel("jit"))
        generated = settings.data == _generated(settings.data, "")
        conditions: dict[str, Scalar] = {
            "source": f"jpeg{SIDE}" if generated else source.dataset,
            "image_size": settings.data.image_size,
            "batch": settings.batch,
            "threads": stages.threads,
        }
        cases = [Case(stage, conditions, UNIT, partial(stages.ready, stage)) for stage in settings.stages]
        return run_cases(cases, settings.protocol, record)


@contextmanager
def _opened(settings: Settings) -> Iterator[Source]:
    """The source that the settings name, or JPEGs in a folder that lasts as long."""
    data = settings.data
    if data.pairs is not None:
        yield open_pairs(data, settings.split)
    elif data.folder is not None or data.dataset is not None:
        yield open_source(data, settings.split)
    else:
        with tempfile.TemporaryDirectory(prefix="bench-input-") as folder:
            image_kb = write_jpegs(Path(folder) / "scenes", settings.images, in_class_folders)
            logger.info(f"made {settings.images:,} JPEGs of {SIDE} x {SIDE} pixels, {image_kb:.0f} kB each")
            yield open_source(_generated(data, f"{folder}/scenes"), "all")


def _generated(data: Data, folder: str) -> Data:
    """The data with a folder in the place of any source."""
    return replace(data, dataset=None, pair_dataset=None, pairs=None, folder=folder or None)


class _Stages:
    """One pass of each stage over the same rows."""

    def __init__(self, source: Source, order_sb: np.ndarray, settings: Settings, parallel: Parallel):
        parallel.check_batch(settings.batch, "--batch")
        assert isinstance(source, Encoded)
        self.source, self.order_sb, self.data, self.parallel = source, order_sb, settings.data, parallel
        self.encoded = source.encoded
        self.threads = usable_cores() if settings.threads is None else settings.threads
        self.views = len(source.image_fields)
        self.batch: dict[str, np.ndarray] = source.read(order_sb[0])
        self.batch |= {"row": order_sb[0].astype(np.int32)}

    def ready(self, stage: str) -> Ready:
        """The pass of a stage, with what comes before it done."""
        size = self.data.image_size
        decoded_bytes = 3 * size**2
        images = self.views * self.order_sb.size
        image_bytes: float = decoded_bytes
        call: Callable[[], Any]
        match stage:
            case "read":
                call = partial(self._on_threads, self.encoded, list(self.order_sb))
                image_bytes = sum(len(file) for rows in self.order_sb for file in self.encoded(rows)) / images
            case "decode":
                files = [self.encoded(rows) for rows in self.order_sb]
                call = partial(self._on_threads, self._decode, files)
            case "batch":
                scenes = [list(array) for name, array in self.batch.items() if name in self.source.image_fields]
                call = partial(self._on_threads, np.stack, scenes * len(self.order_sb))
            case "transfer":
                call = self._transfer
            case "augment":
                call = self._augment_resident()
            case "all":
                call = self._all
            case _:
                raise InputError(f"unknown stage '{stage}': choose of {', '.join(STAGES)}")

        def details(timing: Timing) -> dict[str, float]:
            return {"megabytes_per_s": images * image_bytes / timing.median_s / 1e6}

        return Ready(call, images, details)

    def _on_threads(self, work: Callable[[Any], Any], items: list[Any]) -> None:
        with ThreadPoolExecutor(self.threads) as pool:
            for _ in pool.map(work, items):
                pass

    def _decode(self, files: list[bytes]) -> None:
        images = ImageBatch(len(files), self.data.image_size)
        for position, file in enumerate(files):
            images.decode(position, file, f"image {position} of a batch")

    def _numbers(self) -> dict[str, np.ndarray]:
        """The batch without its text, which stays on the host."""
        return {name: array for name, array in self.batch.items() if array.dtype.kind in "biuf"}

    def _transfer(self) -> None:
        numbers = self._numbers()
        for _ in self.order_sb:
            jax.block_until_ready(self.parallel.place(numbers))

    def _augment_resident(self) -> Callable[[], Any]:
        batch = self.parallel.place(self._numbers())
        return lambda: [self._augment(batch) for _ in self.order_sb]

    def _augment(self, batch: dict[str, jax.Array]) -> list[jax.Array]:
        """The images of a batch as a network would see them in training."""
        return [_augmented(self.data, batch["row"], batch[name]) for name in self.source.image_fields]

    def _all(self) -> None:
        result: list[jax.Array] = []
        with stream(self.source, self.order_sb, threads=self.threads) as host_batches:
            for batch in to_device(host_batches, self.parallel.place):
                result = self._augment(batch)
        jax.block_until_ready(result)


@partial(jax.jit, static_argnums=0)
def _augmented(data: Data, row_b: jax.Array, image_bhwc: jax.Array) -> jax.Array:
    return normalize(augment(jax.random.PRNGKey(0), row_b, image_bhwc, data), data)
