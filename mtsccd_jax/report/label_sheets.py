"""Example images with their true labels and those that networks say, as data for the page and as PNG bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.report import sheets
from mtsccd_jax.report.drawing import INK, MUTED, VERMILION


@dataclass(frozen=True)
class Said:
    """What one network says of one image: its title, and whether it calls each label, (k,) bool."""

    title: str
    called_k: np.ndarray


@dataclass(frozen=True)
class Opinion:
    """The labels that one network says of one image: those that are right, wrong, and not said though true."""

    title: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    missed: tuple[str, ...]


@dataclass(frozen=True)
class Labelled:
    """One image (h, w, 3) uint8 with its name, its true labels, and what every network says."""

    image: np.ndarray
    name: str
    labels: tuple[str, ...]
    opinions: tuple[Opinion, ...]


def labelled(
    image: np.ndarray, name: str, classes: Sequence[str], true_k: np.ndarray, said: Sequence[Said]
) -> Labelled:
    """The image with its labels by name.

    Args:
        image: (h, w, 3) uint8.
        name: Of the image.
        classes: Names of the labels.
        true_k: Which of them it has, (k,) bool.
        said: What each network says.
    """

    def names(chosen_k: np.ndarray) -> tuple[str, ...]:
        return tuple(name for name, chosen in zip(classes, chosen_k, strict=True) if chosen)

    opinions = tuple(
        Opinion(s.title, names(s.called_k & true_k), names(s.called_k & ~true_k), names(~s.called_k & true_k))
        for s in said
    )
    return Labelled(np.asarray(image, np.uint8), name, names(true_k), opinions)


def label_sheet(images: Sequence[Labelled]) -> bytes:
    """The PNG of the images, a line each: the image, its labels, and a column of labels a network; wrong ones in red.

    Labels that are true and not said stand in brackets.
    """
    column, row_height = 250, sheets.TEXT - 2
    titles = ["Image", "True labels", *(opinion.title for opinion in images[0].opinions)] if images else []
    cells = [[[(name, INK) for name in image.labels], *map(_lines, image.opinions)] for image in images]
    heights = [max(sheets.THUMB, *(row_height * len(cell) for cell in line)) + 2 * sheets.GAP for line in cells]
    left = sheets.MARGIN + sheets.THUMB + 2 * sheets.GAP
    width = left + column * max(len(titles) - 1, 1) + sheets.MARGIN
    sheet, draw, font = sheets.canvas(width, 2 * sheets.MARGIN + sheets.TEXT + sum(heights))
    for place, title in enumerate(titles):
        x = sheets.MARGIN if place == 0 else left + column * (place - 1)
        draw.text((x, sheets.MARGIN), sheets.fitting(title, draw, font, column - 12), fill=MUTED, font=font)
    y = sheets.MARGIN + sheets.TEXT + sheets.GAP
    for image, line, height in zip(images, cells, heights, strict=True):
        sheet.paste(sheets.photo(image.image), (sheets.MARGIN, y))
        for place, cell in enumerate(line):
            for row, (text, color) in enumerate(cell):
                at = left + column * place, y + row_height * row
                draw.text(at, sheets.fitting(text, draw, font, column - 12), fill=color, font=font)
        y += height
    return sheets.png(sheet)


def _lines(opinion: Opinion) -> list[tuple[str, str]]:
    """An opinion as lines with their colours."""
    said = [(name, INK) for name in opinion.right] + [(name, VERMILION) for name in opinion.wrong]
    return said + [(f"[{name}]", MUTED) for name in opinion.missed]
