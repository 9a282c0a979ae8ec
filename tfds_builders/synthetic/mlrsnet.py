"""Write generated archives of MLRSNet: the layout, the label files with their damage, and drawn scenes.

    write_archive("archive", scale=0.01, image_size=64)

writes `archive/MLRSNet` with `Images/`, `labels/` and `labels_corrected/`. At scale 1 it has the published number of
images of every category, and its corrected labels the published count of every label in every category; at any other
scale in proportion. What it shows is drawn (see `labelled_scenes`) and says nothing about the real images.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tfds_builders.catalog import ARCHIVES
from tfds_builders.mlrsnet.names import CATEGORIES, IMAGES, LABELS, MOST_LABELS
from tfds_builders.mlrsnet.splits import in_proportion
from tfds_builders.mlrsnet.tables import LABEL_DAMAGE
from tfds_builders.synthetic.driver import Plan, check_image_size, check_scale, write_jpeg, write_planned
from tfds_builders.synthetic.labelled_scenes import draw_scene

_KIND = ARCHIVES["mlrsnet"]
SMALLEST_IMAGE = 16
_BLOCK = 64  # images a task
_COUNTS = Path(__file__).with_name("mlrsnet_labels.json")
# The first number of a category's files; the real ones have gaps, and some do not begin at 1.
_FIRST_NUMBER = {"forest": 1000, "meadow": 1000, "park": 969, "sparse_residential_area": 900}


@dataclasses.dataclass(frozen=True)
class Fault:
    """Official labels that are wrong: in this share of a category's images, all of `labels` have `value`."""

    category: str
    share: float
    labels: tuple[str, ...]
    value: int


def _filled(first: str, last: str, but: str) -> tuple[str, ...]:
    """Return the labels of a block of columns that a spreadsheet's fill command ran over."""
    block = LABELS[LABELS.index(first) : LABELS.index(last) + 1]
    return tuple(label for label in block if label not in but.split(","))


# The large faults of the published files, in their published extent.
FAULTS = (
    Fault("storage_tank", 1.0, ("tanks",), 0),
    Fault("stadium", 1.0, ("stadium",), 0),
    Fault("parkway", 1933 / 2537, _filled("railway", "transmission tower", "road"), 1),
    Fault("intersection", 1467 / 2498, _filled("greenhouse", "transmission tower", "intersection,pavement,road"), 1),
)


@dataclasses.dataclass(frozen=True)
class Scenes:
    """The images of one category: their file names, and both label matrices, uint8 (n, 60)."""

    category: str
    filenames: tuple[str, ...]
    corrected_nk: np.ndarray
    official_nk: np.ndarray

    def scenes(self) -> list["Scene"]:
        """Return the images one by one, with the labels that they show: the corrected ones."""
        rows = zip(self.filenames, self.corrected_nk, strict=True)
        return [Scene(self.category, place, filename, labels_k) for place, (filename, labels_k) in enumerate(rows)]


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """One image to draw: its category, its place in that, and the labels (60,) that it shows."""

    category: str
    place: int
    filename: str
    labels_k: np.ndarray


def write_archive(
    out_dir: str | os.PathLike[str],
    *,
    scale: float = _KIND.scale,
    image_size: int = _KIND.drawing["image_size"],
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write a MLRSNet archive below `out_dir` and return its number of images.

    See `driver.write_planned` for errors and the other arguments.

    Args:
        out_dir: folder of the archive; made if need be.
        scale: share of the 109,161 images, above 0 to 1; every category keeps one.
        image_size: side of the square images in pixels, from 16; 256 in the real archive.
        seed: draws the scenes and which image has which labels, not how many there are of a kind.
        workers: number of processes.
        progress: called with (images written, images in all).
    """

    def plan() -> Plan[Scene]:
        check_image_size(image_size, SMALLEST_IMAGE)
        scenes = categories(scale, seed)
        return Plan(
            folder="MLRSNet",
            kind=_KIND,
            items=[scene for of_category in scenes for scene in of_category.scenes()],
            items_per_task=_BLOCK,
            write_lists=functools.partial(_write_label_files, scenes),
            write_items=functools.partial(_write_scenes, image_size, seed),
        )

    return write_planned(out_dir, plan, seed=seed, workers=workers, progress=progress)


def categories(scale: float, seed: int) -> list[Scenes]:
    """Return the images of every category with their labels."""
    check_scale(scale, _KIND)
    images = in_proportion(CATEGORIES, round(scale * IMAGES))
    counts = json.loads(_COUNTS.read_text(encoding="utf-8"))
    result = []
    for number, category in enumerate(CATEGORIES):
        rng = np.random.default_rng((seed, number))
        rows = max(1, images[category])
        first = _FIRST_NUMBER.get(category, 1)
        filenames = tuple(f"{category}_{first + row:05d}.jpg" for row in range(rows))
        empty = LABEL_DAMAGE["corrected"].get(category, (0, 0))[0] * rows // CATEGORIES[category]
        corrected_nk = np.zeros((rows, len(LABELS)), dtype=np.uint8)
        corrected_nk[: rows - empty] = _draw_labels(counts[category], CATEGORIES[category], rows, rows - empty, rng)
        corrected_nk = rng.permutation(corrected_nk)
        result.append(Scenes(category, filenames, corrected_nk, _with_faults(category, corrected_nk, rng)))
    return result


def _draw_labels(counts: dict[str, int], images: int, rows: int, labelled: int, rng: np.random.Generator) -> np.ndarray:
    """Return labels of `labelled` images, uint8 (labelled, 60), each label as often as in the corrected files.

    `counts` are of `images` images and are scaled to `rows`. Every image has 1 to 13 labels: those with none or too
    many give to, or take from, the others.
    """
    labels_nk = np.zeros((labelled, len(LABELS)), dtype=np.uint8)
    for label, count in counts.items():
        chosen = rng.permutation(labelled)[: min(labelled, (2 * count * rows + images) // (2 * images))]
        labels_nk[chosen, LABELS.index(label)] = 1
    commonest = LABELS.index(max(counts, key=lambda label: counts[label]))
    count_n = labels_nk.sum(axis=1)
    while count_n[poorest := int(np.argmin(count_n))] < 1:
        richest = int(np.argmax(count_n))
        if count_n[richest] > 1:
            _move(labels_nk, richest, poorest, rng)
        else:
            labels_nk[poorest, commonest] = 1  # too few images for labels to go round
        count_n = labels_nk.sum(axis=1)
    while count_n[richest := int(np.argmax(count_n))] > MOST_LABELS:
        _move(labels_nk, richest, int(np.argmin(count_n)), rng)
        count_n = labels_nk.sum(axis=1)
    return labels_nk


def _move(labels_nk: np.ndarray, giver: int, taker: int, rng: np.random.Generator) -> None:
    """Move a label that `taker` does not have."""
    label = int(rng.choice(np.flatnonzero((labels_nk[giver] == 1) & (labels_nk[taker] == 0))))
    labels_nk[giver, label], labels_nk[taker, label] = 0, 1


def _with_faults(category: str, corrected_nk: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    official_nk = corrected_nk.copy()
    for fault in FAULTS:
        if fault.category == category:
            rows = rng.permutation(len(official_nk))[: round(fault.share * len(official_nk))]
            columns = np.array([LABELS.index(label) for label in fault.labels])
            official_nk[rows[:, None], columns] = fault.value
    return official_nk


def _write_label_files(scenes: Sequence[Scenes], root: Path) -> None:
    """Write both label files of every category, and make the folder of its images."""
    for folder in ("labels", "labels_corrected"):
        (root / folder).mkdir()
    for of_category in scenes:
        (root / "Images" / of_category.category).mkdir(parents=True)
        # The authors' files end their lines as Windows does, the corrected ones do not.
        _write_labels(root / "labels", of_category, of_category.official_nk, "\r\n")
        _write_labels(root / "labels_corrected", of_category, of_category.corrected_nk, "\n")


def _write_labels(folder: Path, scenes: Scenes, labels_nk: np.ndarray, newline: str) -> None:
    rows = [("image", *LABELS)]
    rows += [(name, *map(str, row)) for name, row in zip(scenes.filenames, labels_nk.tolist(), strict=True)]
    with (folder / f"{scenes.category}.csv").open("w", encoding="utf-8", newline=newline) as file:
        file.writelines(f"{','.join(row)}\n" for row in rows)


def _write_scenes(image_size: int, seed: int, root: Path, scenes: Sequence[Scene]) -> None:
    """Draw each scene from `seed`, its category and its place there alone, and write it below `root`."""
    for scene in scenes:
        number = list(CATEGORIES).index(scene.category)
        place = scene.place % _BLOCK
        rng = np.random.default_rng((seed, number, scene.place - place, place))
        labels = [LABELS[column] for column in np.flatnonzero(scene.labels_k)]
        write_jpeg(root / "Images" / scene.category / scene.filename, draw_scene(labels, image_size, rng))
