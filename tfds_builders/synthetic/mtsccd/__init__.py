"""Draw archives of MtSCCD: scenes of ten land-use classes at two dates."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tfds_builders.catalog import ARCHIVES
from tfds_builders.synthetic.driver import Plan, check_image_size, write_jpeg, write_planned
from tfds_builders.synthetic.mtsccd import archive
from tfds_builders.synthetic.mtsccd.scenes import SMALLEST_IMAGE, render_pair

_KIND = ARCHIVES["mtsccd"]
TilePaths = tuple[archive.Tile, tuple[str, str]]


def write_archive(
    out_dir: str | os.PathLike[str],
    *,
    scale: float = _KIND.scale,
    image_size: int = _KIND.drawing["image_size"],
    layout: int = _KIND.drawing["layout"],
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write a MtSCCD archive below `out_dir` (`out_dir/MtSCCD/...` for layout 6) and return its number of images.

    See `driver.write_planned` for errors and the other arguments.

    Args:
        out_dir: folder of the archive; made if need be.
        scale: share of the 65,548 images, above 0 to 1; small strata round by largest remainder.
        image_size: side of the square images in pixels, from 8; 300 in the real archive.
        layout: how files lie in folders, 1 to 7 as in `tfds_builders.mtsccd.archive`.
        seed: draws the scenes and where they lie, not how many there are of a kind.
        workers: number of processes.
        progress: called with (images written, images in all).
    """

    def plan() -> Plan[TilePaths]:
        check_image_size(image_size, SMALLEST_IMAGE)
        form = archive.find_layout(layout)
        tiles = archive.tiles(scale, seed)
        paths = archive.scene_paths(tiles, form)

        def write_lists(root: Path) -> None:
            for folder in {path.rpartition("/")[0] for pair in paths for path in pair}:
                (root / folder).mkdir(parents=True, exist_ok=True)
            for name, text in archive.split_lists(tiles, form).items():
                (root / name).write_text(text, encoding="utf-8")

        return Plan(
            folder=form.root,
            kind=_KIND,
            items=list(zip(tiles, paths, strict=True)),
            items_per_task=48,
            images_per_item=2,
            write_lists=write_lists,
            write_items=functools.partial(_write_tiles, image_size, seed),
        )

    return write_planned(out_dir, plan, seed=seed, workers=workers, progress=progress)


def _write_tiles(image_size: int, seed: int, root: Path, tiles: Sequence[TilePaths]) -> None:
    """Draw both dates of each tile from (`seed`, its number) alone, and write them below `root`."""
    for tile, paths in tiles:
        source = np.random.SeedSequence((seed, tile.number))
        images = render_pair(tile.label_t1, tile.label_t2, tile.city.name, image_size, source)
        for image_hwc, path in zip(images, paths, strict=True):
            write_jpeg(root / path, image_hwc)
