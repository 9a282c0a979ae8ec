"""The images of an audit as what is kept of each: digest, hashes, a small picture and descriptors."""

import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import cv2
import numpy as np

from mtsccd_jax.data.bands import picture, picture_bands
from mtsccd_jax.data.stream import usable_cores
from mtsccd_jax.errors import InputError
from mtsccd_jax.ops.calls import padded
from mtsccd_jax.ops.hashes import layout, perceptual, screen
from mtsccd_jax.tasks.leaks.inputs import Part

# Rows that a thread reads at once, and images that are described at once.
_ROWS, _BATCH = 32, 512
_FEW = 64

Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Images:
    """What is kept of n images.

    Attributes:
        part: Index of the part that each is of.
        row: Its row there.
        view: Which image of the row it is: 1 is the second date of a pair.
        digest: BLAKE2b of the decoded pixels and their shape, or of all bands, (n, 2) uint64.
        hashes: Perceptual hashes of the eight turns and flips, (n, 8) uint64; the first is the image's own.
        contrast: Local contrast, (n, 64, 64) int8 as of `ops.hashes.screen`.
        structure: Share of the image that has structure, 0 to 1.
        layouts: Layouts of its windows, (n, w, d) float16.
    """

    part: np.ndarray
    row: np.ndarray
    view: np.ndarray
    digest: np.ndarray
    hashes: np.ndarray
    contrast: np.ndarray
    structure: np.ndarray
    layouts: np.ndarray

    def __len__(self) -> int:
        return len(self.part)


class Small(NamedTuple):
    """A decoded image as far as it is kept: its digest, its frequencies, and its colours at 64 pixels a side."""

    digest: np.ndarray
    block: np.ndarray
    thumb: np.ndarray


class Seen(NamedTuple):
    """One image as people see it, and the arrays that make it what it is."""

    image: np.ndarray  # (h, w, 3) uint8
    exact: Sequence[np.ndarray]  # pixels, or every band


def seen(part: Part, row: int) -> list[Seen]:
    """Read and decode the images of one row, at their own size."""
    batch = part.source.read(np.array([row]))
    if part.source.image_fields:
        return [Seen(batch[field][0], (batch[field][0],)) for field in part.source.image_fields]
    bands = {name: batch[name] for name in sorted(part.source.band_fields)}
    if not bands:
        raise InputError(f"{part.source.name}: holds neither images nor bands, so there is nothing to audit")
    shown = picture_bands(part.source.band_fields)
    return [Seen(picture({name: bands[name] for name in shown})[0], [band[0] for band in bands.values()])]


def small(image: Seen) -> Small:
    """Reduce an image to what is kept of it."""
    digest = hashlib.blake2b(digest_size=16)
    for array in image.exact:
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return Small(
        np.frombuffer(digest.digest(), np.uint64),
        perceptual.frequencies(_gray_32(image.image)[None])[0],
        thumbnail(image.image),
    )


def _gray_32(image_hwc: np.ndarray) -> np.ndarray:
    """Return the image as `imagehash.phash` sees it."""
    from PIL import Image

    side = perceptual.SIDE
    return np.asarray(Image.fromarray(image_hwc).convert("L").resize((side, side), Image.Resampling.LANCZOS))


def thumbnail(image_hwc: np.ndarray) -> np.ndarray:
    """Return an image at 64 pixels a side."""
    side = layout.SIDE
    larger = min(image_hwc.shape[:2]) < side
    shrunk: np.ndarray = cv2.resize(
        image_hwc, (side, side), interpolation=cv2.INTER_LINEAR if larger else cv2.INTER_AREA
    )
    return shrunk


def read(parts: Sequence[Part], skip_bad: bool, progress: Progress) -> tuple[Images, list[str]]:
    """Read every image of the parts once; return what is kept of them, and a line for each row that was left out.

    Raises:
        InputError: An image cannot be read and `skip_bad` is false, or nothing is left.
    """
    total = sum(len(part.source) for part in parts)
    collected: list[Images] = []
    skipped = [line for part in parts for line in part.source.skipped]
    done = 0
    for index, part in enumerate(parts):
        found: list[tuple[int, int, Small]] = []
        for rows, smalls, lines in _ahead(_chunks(len(part.source)), _reader(part, skip_bad)):
            found += smalls
            skipped += lines
            done += len(rows)
            progress(done, total)
            while len(found) >= _BATCH:
                collected.append(described(index, found[:_BATCH]))
                found = found[_BATCH:]
        if found:
            collected.append(described(index, found))
    if not collected:
        raise InputError(f"none of {total} images can be read; the first: {skipped[0]}" if skipped else "no images")
    return joined(collected), skipped


def _chunks(rows: int) -> Iterator[range]:
    return (range(start, min(start + _ROWS, rows)) for start in range(0, rows, _ROWS))


def _reader(part: Part, skip_bad: bool) -> Callable[[range], tuple[range, list[tuple[int, int, Small]], list[str]]]:
    def read_rows(rows: range) -> tuple[range, list[tuple[int, int, Small]], list[str]]:
        found, skipped = [], []
        for row in rows:
            try:
                found += [(row, view, small(image)) for view, image in enumerate(seen(part, row))]
            except InputError as error:
                if not skip_bad:
                    raise
                skipped.append(str(error))
        return rows, found, skipped

    return read_rows


def _ahead(tasks: Iterable[Any], work: Callable[[Any], Any]) -> Iterator[Any]:
    """Yield the results of the work on every task in order, computed ahead by threads, but not far."""
    threads, remaining = usable_cores(), iter(tasks)
    pending: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for task in itertools.islice(remaining, 4 * threads):
                pending.append(pool.submit(work, task))
            while pending:
                yield pending.popleft().result()
                pending += [pool.submit(work, task) for task in itertools.islice(remaining, 1)]
        finally:
            for future in pending:
                future.cancel()


def described(part: int, found: Sequence[tuple[int, int, Small]]) -> Images:
    """Return what is kept of images of one part, each given by its row, its view and what it was reduced to."""
    rows, views, smalls = zip(*found, strict=True)
    thumb_nhwc = np.stack([image.thumb for image in smalls])
    gray_nhw = np.stack([cv2.cvtColor(thumb, cv2.COLOR_RGB2GRAY) for thumb in thumb_nhwc])
    n = len(smalls)
    contrast = in_lots(layout.local_contrast, gray_nhw)
    return Images(
        part=np.full(n, part, np.int32),
        row=np.array(rows, np.int32),
        view=np.array(views, np.int8),
        digest=np.stack([image.digest for image in smalls]),
        hashes=perceptual.hashes(perceptual.orientations(np.stack([image.block for image in smalls]))),
        contrast=screen.to_int8(contrast),
        structure=np.square(contrast).mean((1, 2)),
        layouts=in_lots(layout.layouts, thumb_nhwc).astype(np.float16),
    )


def in_lots(compute: Callable[..., Any], *rows: np.ndarray, most: int = _BATCH) -> np.ndarray:
    """Return what a compiled function makes of rows, lot by lot; lots have two lengths, so that two programs do."""
    n, made = len(rows[0]), []
    for start in range(0, n, most):
        lot = [one[start : start + most] for one in rows]
        length = _FEW if len(lot[0]) <= _FEW else most
        made.append(np.asarray(compute(*(padded(one, length) for one in lot)))[: len(lot[0])])
    return np.concatenate(made)


def joined(several: Sequence[Images]) -> Images:
    """Return several lots of images as one."""
    return Images(*(np.concatenate([getattr(one, field.name) for one in several]) for field in fields(Images)))


def chosen(images: Images, index: np.ndarray) -> Images:
    """Return some of the images."""
    return Images(*(getattr(images, field.name)[index] for field in fields(Images)))
