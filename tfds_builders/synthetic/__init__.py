"""Generated archives of the supported data sets, for tests, demonstrations and benchmarks.

    write_archive("archive", scale=0.05, image_size=96)

writes a MtSCCD archive in the paper's naming: at scale 1 with exactly the published class counts (Tables 2 to 5), at
any other scale in proportion. What it shows is drawn (see `scenes`) and says nothing about the cities it names.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path

from tfds_builders.reading.archive import GENERATED_MARK, ArchiveError
from tfds_builders.synthetic.mtsccd import archive
from tfds_builders.synthetic.mtsccd.scenes import SMALLEST_IMAGE
from tfds_builders.synthetic.running import checked_workers, folder_made_at_once, run_tasks
from tfds_builders.synthetic.writing import write_tiles

__all__ = ["write_archive"]

# By this file, which lies in every generated archive, builds and reports know that it is not the real one.
_MARK = """\
These images are drawn by a program. They lie in the folders, and bear the names, of the data set MtSCCD, and are no
part of it: what they show was never seen from above, and no result on them says anything about the real images.
"""
_TASK = 48  # tiles a task: some tenths of a second, so that progress is smooth and the end is even
_FEWEST_FOR_PROCESSES = 4 * _TASK  # tiles; below, starting processes costs more than it gains


def write_archive(
    out_dir: str | os.PathLike[str],
    *,
    scale: float = 0.02,
    image_size: int = 300,
    layout: int = 6,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Return the number of images of the MtSCCD archive written below `out_dir` (`out_dir/MtSCCD/...` for layout 6).

    The same arguments give the same bytes, whatever the number of workers. More than a few hundred images are drawn in
    spawned processes, so a script that calls this needs the usual `if __name__ == "__main__":`.

    Args:
        out_dir: folder of the archive; made if need be. The archive appears in it when it is complete.
        scale: share of the 65,548 images, above 0 to 1; small strata round by largest remainder.
        image_size: side of the square images in pixels, from 8; 300 in the real archive.
        layout: how files lie in folders, 1 to 7 as in `tfds_builders.mtsccd.archive`.
        seed: draws the scenes and where they lie, not how many there are of a kind.
        workers: processes; by default one for each processor that this process may use.
        progress: called with (images written, images in all).

    Raises:
        ArchiveError: an argument is out of range, or `out_dir` already holds such an archive.
        OSError: the archive cannot be written (a full disk, say); nothing is left of it then.
    """
    if image_size < SMALLEST_IMAGE:
        raise ArchiveError(f"image size {image_size}: give {SMALLEST_IMAGE} pixels or more")
    if seed < 0:
        raise ArchiveError(f"seed {seed}: give 0 or more")
    workers = checked_workers(workers)
    form = archive.find_layout(layout)
    tiles = archive.tiles(scale, seed)
    paths = archive.scene_paths(tiles, form)
    with folder_made_at_once(Path(out_dir) / form.root) as root:
        for folder in sorted({path.rpartition("/")[0] for pair in paths for path in pair}):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for name, text in archive.split_lists(tiles, form).items():
            (root / name).write_text(text, encoding="utf-8")
        (root / GENERATED_MARK).write_text(_MARK, encoding="utf-8")
        write = functools.partial(write_tiles, str(root), image_size, seed)
        tasks = [(tiles[at : at + _TASK], paths[at : at + _TASK]) for at in range(0, len(tiles), _TASK)]
        done = 0
        for count in run_tasks(write, tasks, workers, worth_processes=len(tiles) >= _FEWEST_FOR_PROCESSES):
            done += count
            if progress is not None:
                progress(done, 2 * len(tiles))
    return done
