"""Write a generated archive: in several processes, and under its final name only when it is complete."""

import concurrent.futures
import contextlib
import functools
import multiprocessing
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import cv2
import numpy as np

from tfds_builders.catalog import ArchiveKind
from tfds_builders.processors import default_workers
from tfds_builders.reading.archive import GENERATED_MARK, ArchiveError

Item = TypeVar("Item")
_MARK = """\
These {unit} are drawn by a program. They lie in the folders, and bear the names, of the data set {title}, and are no
part of it: what they show was never seen from above, and no result on them says anything about the real {unit}.
"""
# Below, starting processes costs more than it gains.
FEWEST_FOR_PROCESSES = 384
_QUALITY = 90


@dataclass(frozen=True)
class Plan(Generic[Item]):
    """The contents of a generated archive, item by item.

    `folder` is the archive's own. `write_lists(root)` writes all files but images, and makes folders.
    `write_items(root, items)` writes the images of some items, each of `images_per_item`; it is picklable, and draws an
    item alike, whichever others it is called with. A task is `items_per_task` items: some tenths of a second, so that
    progress is smooth and all processes end together.
    """

    kind: ArchiveKind
    folder: str
    items: Sequence[Item]
    items_per_task: int
    write_lists: Callable[[Path], object]
    write_items: Callable[[Path, Sequence[Item]], object]
    images_per_item: int = 1


def write_planned(
    out_dir: str | os.PathLike[str],
    plan: Callable[[], Plan[Item]],
    *,
    seed: int,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> int:
    """Write the archive that `plan` returns below `out_dir` and return its number of images.

    The same plan gives the same bytes, whatever the number of workers. More than a few hundred images are written by
    spawned processes, so a script that calls this needs the usual `if __name__ == "__main__":`.

    Args:
        out_dir: folder of the archive; made if need be. The archive appears in it when it is complete.
        plan: called once the other arguments are checked.
        seed: of everything random, from 0.
        workers: processes; by default one for each processor that this process may use.
        progress: called with (images written, images in all).

    Raises:
        ArchiveError: an argument is out of range, or `out_dir` already holds such an archive.
        OSError: the archive cannot be written (a full disk, say); nothing is left of it then.
    """
    if seed < 0:
        raise ArchiveError(f"seed {seed}: give 0 or more")
    if workers is not None and workers < 1:
        raise ArchiveError(f"{workers} workers: give 1 or more")
    planned = plan()
    total = len(planned.items) * planned.images_per_item
    step = planned.items_per_task
    tasks = [planned.items[at : at + step] for at in range(0, len(planned.items), step)]
    done = 0
    with _folder_made_at_once(Path(out_dir) / planned.folder) as root:
        mark = _MARK.format(title=planned.kind.title, unit=planned.kind.unit)
        (root / GENERATED_MARK).write_text(mark, encoding="utf-8")
        planned.write_lists(root)
        write = functools.partial(_write_task, planned.write_items, root)
        for items in _run(write, tasks, default_workers() if workers is None else workers, total):
            done += items * planned.images_per_item
            if progress is not None:
                progress(done, total)
    return done


def check_scale(scale: float, kind: ArchiveKind) -> None:
    """Raise ArchiveError unless `scale` is in (0, 1]."""
    if not 0 < scale <= 1:
        whole = f"{kind.size:,} {kind.unit}"
        raise ArchiveError(f"scale {scale:g}: give a number above 0 and at most 1 (1 is all {whole})")


def check_image_size(image_size: int, smallest: int) -> None:
    """Raise ArchiveError if `image_size` is below `smallest`."""
    if image_size < smallest:
        raise ArchiveError(f"image size {image_size}: give {smallest} pixels or more")


def write_jpeg(path: Path, image_hwc: np.ndarray) -> None:
    """Write an RGB image as a JPEG file."""
    ok, data = cv2.imencode(".jpg", cv2.cvtColor(image_hwc, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not ok:
        raise OSError("OpenCV could not encode a JPEG image")
    path.write_bytes(data.tobytes())


def _write_task(write_items: Callable[[Path, Sequence[Item]], object], root: Path, items: Sequence[Item]) -> int:
    """Write one task with one thread of OpenCV, since other processes use the other processors; return its items."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        write_items(root, items)
    finally:
        cv2.setNumThreads(threads)
    return len(items)


def _run(
    write: Callable[[Sequence[Item]], int], tasks: Sequence[Sequence[Item]], workers: int, images: int
) -> Iterator[int]:
    """Yield the result of every task, in order, as they are done."""
    if workers == 1 or images < FEWEST_FOR_PROCESSES:
        yield from map(write, tasks)
        return
    context = multiprocessing.get_context("spawn")  # the caller may hold a JAX client and threads: never fork
    pool = concurrent.futures.ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context)
    try:
        yield from pool.map(write, tasks)
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _folder_made_at_once(final: Path) -> Iterator[Path]:
    """Yield a new folder beside `final` that becomes `final` at the end, or is removed after an error."""
    if final.exists():
        raise ArchiveError(f"{final}: exists already; remove it or give another folder")
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.parent / f".{final.name}-{secrets.token_hex(4)}"
    partial.mkdir()
    try:
        yield partial
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
