"""Compare an archive of MLRSNet with the published counts, and with what is known to be wrong with its labels."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfds_builders.mlrsnet.archive import label_files, list_images, open_mlrsnet
from tfds_builders.mlrsnet.labels import (
    LabelSet,
    correction_lines,
    corrections,
    damage,
    damage_lines,
    read_label_set,
    rows_of_one_set_only,
)
from tfds_builders.mlrsnet.names import CATEGORIES, LABEL_SETS, LABELS
from tfds_builders.mlrsnet.tables import CORRECTIONS, LABEL_COUNTS, LABEL_DAMAGE
from tfds_builders.reading.archive import is_generated
from tfds_builders.reading.report import ArchiveReport, CountTable


@dataclass(frozen=True, kw_only=True)
class MlrsnetReport(ArchiveReport):
    """The result of `check_archive`: `images` are those in the folders of categories.

    `damage` lists known faults of the published label files: images that break the README's 1 to 13 labels, category
    by category, and how the corrected labels differ from the official ones. They are part of the published archive, and
    so neither problems nor differences.
    """

    damage: list[str]

    def paragraphs(self) -> list[str]:
        """Return the damage."""
        return ["\n".join(["damage of the labels", *(self.damage or ["none"])])]


def check_archive(path: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None) -> MlrsnetReport:
    """Return the archive's counts beside those of the published files, with every difference and every bad row.

    The label files are read (the official ones, and the corrected ones where they are there); of images only names.

    Args:
        path: the folder, zip or tar file.
        progress: called once, with (images, images).

    Raises:
        ArchiveError: there is no archive at `path`, no label file in it, or one has other columns than the 60 labels.
    """
    archive = open_mlrsnet(Path(path))
    files = label_files(archive)
    label_sets = [read_label_set(archive, name, files[name]) for name in LABEL_SETS if name in files]
    listings = [list_images(archive, labels) for labels in label_sets]
    images = Counter(
        category
        for category, image in zip(label_sets[0].category_of_row, listings[0].image_of_row, strict=True)
        if image is not None
    )
    tables = [_category_table(images, label_sets), _label_table(label_sets), _damage_table(label_sets)]
    problems = [line for listing in listings for line in listing.bad]
    lines = [line for labels in label_sets for line in damage_lines(labels)]
    differences = []
    if len(label_sets) == 2:
        tables.append(_correction_table(*label_sets))
        lines += correction_lines(*label_sets)
        differences += rows_of_one_set_only(*label_sets)
    if progress is not None:
        progress(listings[0].images, listings[0].images)
    return MlrsnetReport(
        path=archive.path,
        images=listings[0].images,
        problems=list(dict.fromkeys(problems)),
        other_differences=differences,
        damage=lines,
        tables=tuple(tables),
        generated=is_generated(archive),
    )


def _category_table(images: Counter[str], label_sets: list[LabelSet]) -> CountTable:
    columns = [images, *(Counter(labels.category_of_row) for labels in label_sets)]
    return CountTable.of_rows(
        "Images with labels, and rows of the label files",
        ("images", *(labels.name for labels in label_sets)),
        {
            category: ([column[category] for column in columns], (count,) * len(columns))
            for category, count in CATEGORIES.items()
        },
    )


def _label_table(label_sets: list[LabelSet]) -> CountTable:
    found = zip(*(labels.labels_nk.sum(axis=0, dtype=int).tolist() for labels in label_sets), strict=True)
    which = [LABEL_SETS.index(labels.name) for labels in label_sets]
    return CountTable.of_rows(
        "Images with each label",
        [labels.name for labels in label_sets],
        {
            label: (counts, [LABEL_COUNTS[label][column] for column in which])
            for label, counts in zip(LABELS, found, strict=True)
        },
    )


def _damage_table(label_sets: list[LabelSet]) -> CountTable:
    found = [damage(labels) for labels in label_sets]
    known = [LABEL_DAMAGE[labels.name] for labels in label_sets]
    return CountTable.of_rows(
        "Images that break the README's 1 to 13 labels",
        [f"{labels.name} {kind}" for labels in label_sets for kind in ("none", "above 13")],
        {category: (_side_by_side(found, category), _side_by_side(known, category)) for category in CATEGORIES},
    )


def _side_by_side(columns: Sequence[Mapping[str, tuple[int, int]]], category: str) -> list[int]:
    return [count for column in columns for count in column.get(category, (0, 0))]


def _correction_table(official: LabelSet, corrected: LabelSet) -> CountTable:
    found = corrections(official, corrected)
    return CountTable.of_rows(
        "Corrected labels that differ from the official ones",
        ("images", "cells"),
        {category: (found.get(category, (0, 0)), CORRECTIONS.get(category, (0, 0))) for category in CATEGORIES},
    )
