"""Example images with their true labels and those that networks predict (Table 3 of the BigEarthNet v1 paper)."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.report import text
from mtsccd_jax.report.pictures import photos
from mtsccd_jax.report.pictures.chart_style import INK, MUTED, VERMILION
from mtsccd_jax.report.published.labels import channels
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, bands, network, repeats_of
from mtsccd_jax.report.sections import Block, Fold, fragment
from mtsccd_jax.report.unique_names import titles_apart
from mtsccd_jax.report.writer import Arrays, Writer
from mtsccd_jax.tasks.labels.tables import names_apart

PREDICTIONS = ("label", "probability", "called", "filename")
# With more networks the cards of images are too tall to stand open.
_MANY = 6
# Pixels of a network's labels on the sheet.
_COLUMN = 250


@dataclass(frozen=True)
class Prediction:
    """The labels that one network predicts for one image: right ones, wrong ones, and true ones that it misses."""

    title: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    missed: tuple[str, ...]


@dataclass(frozen=True)
class Labelled:
    """One image (h, w, 3) uint8 with its name, its true labels, and the predictions of every network."""

    image: np.ndarray
    name: str
    labels: tuple[str, ...]
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True)
class Examples:
    """The example images of one split, and why some rows are not shown."""

    title: str
    images: tuple[Labelled, ...]
    missing: tuple[str, ...]


def example_blocks(found: Sequence[Examples]) -> Iterator[Block]:
    """Yield the blocks of the example images."""
    if not found:
        return
    yield Block("heading", "Example images and the labels they are given")
    yield Block(
        "prose",
        "As in Table 3 of the BigEarthNet paper: the same images for every network, drawn without regard to what any "
        "says. ✓ right, ✕ wrong, ○ true and not said.",
    )
    for examples in found:
        networks = len(examples.images[0].predictions) if examples.images else 0
        blocks = [Block("missing", f"Not shown. {reason}") for reason in examples.missing]
        blocks += [fragment(__package__, "examples.html", images=examples.images)] if examples.images else []
        if networks > _MANY:
            title = f"{examples.title}: {len(examples.images)} images and what {networks} networks say of them"
            yield Block("details", [Fold(title, blocks)])
        else:
            yield Block("subheading", examples.title)
            yield from blocks


def label_examples(writer: Writer, runs: Sequence[Run]) -> list[Examples]:
    """Return images of every split with their true labels and those of each row.

    Rows stand together that have the same images and labels, whatever bands they saw; of repetitions the lowest
    seed's. The pictures are those of the first row that saw visible light.
    """
    groups: dict[tuple[str, str], list[tuple[Row, Arrays]]] = {}
    missing: dict[str, list[str]] = {}
    for _, (row, *_) in repeats_of(runs, ["multilabel"]):
        predictions = writer.artefact(row, "predictions", PREDICTIONS)
        if isinstance(predictions, str):
            missing.setdefault(text.place(row), []).append(f"{network(row)}: {predictions}")
        else:
            names, label = np.asarray(predictions["filename"]).astype(str), predictions["label"].astype(np.uint8)
            digest = hashlib.sha256(names.tobytes() + b"\0" + label.tobytes()).hexdigest()
            groups.setdefault((text.place(row), digest), []).append((row, predictions))
    titles = titles_apart([place for place, _ in groups], [group[0][0] for group in groups.values()])
    found = [
        _examples(writer, title, group, missing.pop(place, []))
        for title, (place, _), group in zip(titles, groups, groups.values(), strict=True)
    ]
    return found + [Examples(title, (), tuple(reasons)) for title, reasons in missing.items()]


def labelled(
    image: np.ndarray,
    name: str,
    classes: Sequence[str],
    true_k: np.ndarray,
    predicted: Sequence[tuple[str, np.ndarray]],
) -> Labelled:
    """Return an image with its labels by name, those of the truth and of each (title, labels) predicted, (k,) bool."""

    def names(chosen_k: np.ndarray) -> tuple[str, ...]:
        return tuple(name for name, chosen in zip(classes, chosen_k, strict=True) if chosen)

    predictions = tuple(
        Prediction(title, names(said_k & true_k), names(said_k & ~true_k), names(~said_k & true_k))
        for title, said_k in predicted
    )
    return Labelled(np.asarray(image, np.uint8), name, names(true_k), predictions)


def label_sheet(images: Sequence[Labelled]) -> bytes:
    """Return the PNG of the images and a column of labels a network: wrong ones red, missed ones in brackets."""
    margin, gap, thumb, row_height = photos.MARGIN, photos.GAP, photos.THUMB, photos.TEXT - 2
    titles = ["Image", "True labels", *(one.title for one in images[0].predictions)] if images else []
    cells = [[[(name, INK) for name in image.labels], *map(_lines, image.predictions)] for image in images]
    heights = [max(thumb, *(row_height * len(cell) for cell in line)) + 2 * gap for line in cells]
    left = margin + thumb + 2 * gap
    width = left + _COLUMN * max(len(titles) - 1, 1) + margin
    sheet, draw, font = photos.canvas(width, 2 * margin + photos.TEXT + sum(heights))
    for place, title in enumerate(titles):
        x = margin if place == 0 else left + _COLUMN * (place - 1)
        draw.text((x, margin), photos.fitting(title, draw, font, _COLUMN - 12), fill=MUTED, font=font)
    y = margin + photos.TEXT + gap
    for image, line, height in zip(images, cells, heights, strict=True):
        sheet.paste(photos.photo(image.image), (margin, y))
        for place, cell in enumerate(line):
            for row, (name, color) in enumerate(cell):
                at = left + _COLUMN * place, y + row_height * row
                draw.text(at, photos.fitting(name, draw, font, _COLUMN - 12), fill=color, font=font)
        y += height
    return photos.png(sheet)


def _examples(writer: Writer, title: str, group: Sequence[tuple[Row, Arrays]], missing: Sequence[str]) -> Examples:
    """Return the example images of rows on the same images, with the predictions of each row."""
    members, reasons = [row for row, _ in group], list(missing)
    visible = [row for row in members if not (seen := channels(bands(row))) or "B04" in seen]
    for row_id in dict.fromkeys(row.id for row in (*visible, *members)):
        anchor, predictions = next(pair for pair in group if pair[0].id == row_id)
        patches = writer.artefact(anchor, "patches", ("thumb", "row", "class_names"))
        if not isinstance(patches, str):
            break
        reasons.append(f"{network(anchor)}: {patches}")
    else:
        return Examples(title, (), tuple(reasons))
    classes = [text.class_name(str(name)) for name in patches["class_names"]]
    who = names_apart(members)
    predicted = list(zip(who, (arrays["called"].astype(bool) for _, arrays in group), strict=True))
    images = tuple(
        labelled(
            thumb,
            str(predictions["filename"][place]),
            classes,
            predictions["label"][place].astype(bool),
            [(name, predicted_nk[place]) for name, predicted_nk in predicted],
        )
        for thumb, place in zip(patches["thumb"], patches["row"], strict=True)
    )
    writer.picture(f"labels_{anchor.split}_{anchor.id}", label_sheet(images))
    return Examples(title, images, tuple(reasons))


def _lines(prediction: Prediction) -> list[tuple[str, str]]:
    """Return a prediction as lines with their colours."""
    predicted = [(name, INK) for name in prediction.right] + [(name, VERMILION) for name in prediction.wrong]
    return predicted + [(f"[{name}]", MUTED) for name in prediction.missed]
