"""Photographs: sheets of scenes and of pairs as PNG bytes, and single thumbnails for the page."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mtsccd_jax.report import words
from mtsccd_jax.report.drawing import INK, MUTED, VERMILION

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

# Pixels a side on the page. Larger thumbnails of a row are reduced to this.
THUMB = 128
JPEG_QUALITY = 88

# Pixels: around a sheet, between photographs, and of a line of text.
MARGIN = 16
GAP = 6
TEXT = 18
# Hits of a search that stand side by side; more go on below.
HITS_ACROSS = 10


@dataclass(frozen=True)
class Scene:
    """One scene of a sheet: its image (h, w, 3) uint8 and what to write beneath it."""

    image: np.ndarray
    caption: str


@dataclass(frozen=True)
class SceneClass:
    """All scenes of a sheet that are of one class."""

    name: str
    short: str
    scenes: tuple[Scene, ...]


@dataclass(frozen=True)
class Pair:
    """One example pair: both dates (h, w, 3) uint8, the land use at both where known, and whether it changed."""

    image_t1: np.ndarray
    image_t2: np.ndarray
    label: str
    changed: bool


@dataclass(frozen=True)
class Opinion:
    """What one method says of every pair of a grid, and of how many it is right.

    Attributes:
        title: Method and network.
        called: Whether each pair is called changed.
        distance: How far apart the dates of each pair are for it.
        right: Whether that is the truth.
    """

    title: str
    called: tuple[bool, ...]
    distance: tuple[float | None, ...]
    right: tuple[bool, ...]


@dataclass(frozen=True)
class Grid:
    """The same pairs under several methods (the paper's Table 8)."""

    title: str
    pairs: tuple[Pair, ...]
    opinions: tuple[Opinion, ...]


@dataclass(frozen=True)
class Seen:
    """A query or a hit: its image (h, w, 3) uint8, its name or labels in words, its distance, whether it is relevant.

    A query has no distance; what is relevant to a query without labels is not known.
    """

    image: np.ndarray
    caption: str
    distance: float | None = None
    relevant: bool | None = None


@dataclass(frozen=True)
class Search:
    """A query and its hits, the nearest first."""

    query: Seen
    hits: tuple[Seen, ...]


def scene_classes(sheets: Sequence[dict[str, np.ndarray]]) -> list[SceneClass]:
    """The scenes of several sheets (`scenes` artefacts) by class, cities in the order of the sheets."""
    by_class: dict[str, list[Scene]] = {}
    order: list[str] = []
    for sheet in sheets:
        names = [str(name) for name in sheet["class_names"]]
        order += [name for name in names if name not in order]
        cities = [str(name) for name in sheet["city_names"]]
        columns = zip(sheet["thumb"], sheet["label"], sheet["city"], sheet["phase"], strict=True)
        for thumb, label, city, phase in columns:
            place = cities[int(city)].replace("_", " ").title() if 0 <= int(city) < len(cities) else ""
            date = f"T{int(phase)}" if int(phase) in (1, 2) else ""
            caption = " ".join(text for text in (place, date) if text)
            by_class.setdefault(names[int(label)], []).append(Scene(np.asarray(thumb, np.uint8), caption))
    present = [name for name in order if name in by_class]
    shorts = words.short_class_names(present)
    return [
        SceneClass(words.class_name(name), short, tuple(by_class[name]))
        for name, short in zip(present, shorts, strict=True)
    ]


def example_pairs(examples: dict[str, np.ndarray]) -> tuple[Pair, ...]:
    """The pairs of an `examples` artefact."""
    shorts = words.short_class_names([str(name) for name in examples["class_names"]])

    def short(label: int) -> str:
        return shorts[label] if 0 <= label < len(shorts) else ""

    pairs = []
    for i in range(len(examples["changed"])):
        t1, t2 = short(int(examples["label_t1"][i])), short(int(examples["label_t2"][i]))
        pairs.append(
            Pair(
                image_t1=np.asarray(examples["thumb_t1"][i], np.uint8),
                image_t2=np.asarray(examples["thumb_t2"][i], np.uint8),
                label=f"{t1} → {t2}" if t1 and t2 else "",
                changed=bool(examples["changed"][i]),
            )
        )
    return tuple(pairs)


def opinion(title: str, pairs: Sequence[Pair], called_n: np.ndarray, distance_n: np.ndarray) -> Opinion:
    """What a method says of the pairs: whether each is called changed, and its distance."""
    return Opinion(
        title,
        tuple(bool(called) for called in called_n),
        tuple(float(distance) if np.isfinite(distance) else None for distance in distance_n),
        tuple(bool(called) == pair.changed for called, pair in zip(called_n, pairs, strict=True)),
    )


def scene_sheet(classes: Sequence[SceneClass]) -> bytes:
    """The PNG of a sheet of scenes, one line a class (the paper's Figure 1, with its cities)."""
    longest = max((len(c.scenes) for c in classes), default=0)
    left = 190
    width = 2 * MARGIN + left + longest * (THUMB + GAP)
    line = THUMB + TEXT + GAP
    sheet, draw, font = canvas(width, 2 * MARGIN + len(classes) * line)
    for row, scene_class in enumerate(classes):
        y = MARGIN + row * line
        name = scene_class.name if len(scene_class.name) <= 26 else f"{scene_class.name[:25]}…"
        draw.text((MARGIN, y + THUMB // 2 - 18), scene_class.short, fill=INK, font=font)
        draw.text((MARGIN, y + THUMB // 2), name, fill=MUTED, font=font)
        for column, scene in enumerate(scene_class.scenes):
            x = MARGIN + left + column * (THUMB + GAP)
            sheet.paste(photo(scene.image), (x, y))
            draw.text((x, y + THUMB + 2), scene.caption, fill=MUTED, font=font)
    return png(sheet)


def verdict_sheet(grid: Grid) -> bytes:
    """The PNG of a grid: the pairs across, first date above the second, and a line of verdicts a method below."""
    left, wide, line = 210, THUMB + GAP, 2 * TEXT
    top = MARGIN + 2 * (THUMB + 2) + 2 * TEXT
    height = top + line * len(grid.opinions) + MARGIN
    sheet, draw, font = canvas(2 * MARGIN + left + wide * len(grid.pairs), height)
    for place, text in ((THUMB // 2, "First date"), (THUMB + THUMB // 2, "Second date"), (2 * THUMB + 8, "Truth")):
        draw.text((MARGIN, MARGIN + place), text, fill=MUTED, font=font)
    for column, pair in enumerate(grid.pairs):
        x = MARGIN + left + column * wide
        sheet.paste(photo(pair.image_t1), (x, MARGIN))
        sheet.paste(photo(pair.image_t2), (x, MARGIN + THUMB + 2))
        truth = "changed" if pair.changed else "unchanged"
        draw.text((x, MARGIN + 2 * THUMB + 4), pair.label.replace("→", "to"), fill=MUTED, font=font)
        draw.text((x, MARGIN + 2 * THUMB + 4 + TEXT), truth, fill=INK, font=font)
    for row, said in enumerate(grid.opinions):
        y = top + row * line + TEXT // 2
        draw.text((MARGIN, y), said.title[:34], fill=INK, font=font)
        for column, (called, right) in enumerate(zip(said.called, said.right, strict=True)):
            text = ("changed" if called else "unchanged") + ("" if right else "  wrong")
            draw.text((MARGIN + left + column * wide, y), text, fill=INK if right else VERMILION, font=font)
    return png(sheet)


def search_sheet(searches: Sequence[Search]) -> bytes:
    """The PNG of searches: the query, and beside it its hits with what they are and how far; wrong ones in red."""
    across = min(HITS_ACROSS, max((len(search.hits) for search in searches), default=0))
    gap, line = 4 * GAP, THUMB + 3 * TEXT + GAP
    lines_of = [max(1, -(-len(search.hits) // HITS_ACROSS)) for search in searches]
    width = 2 * MARGIN + THUMB + gap + across * (THUMB + GAP)
    sheet, draw, font = canvas(width, 2 * MARGIN + sum(lines_of) * line)
    for row, search in enumerate(searches):
        top = MARGIN + sum(lines_of[:row]) * line
        rule = MARGIN + THUMB + gap // 2
        draw.line([(rule, top), (rule, top + lines_of[row] * line - 3 * TEXT - GAP)], fill=MUTED)
        for place, seen in enumerate((search.query, *search.hits)):
            down, column = divmod(place - 1, HITS_ACROSS) if place else (0, -1)
            x, y = MARGIN + (column + 1) * (THUMB + GAP) + (gap - GAP) * (place > 0), top + down * line
            sheet.paste(photo(seen.image), (x, y))
            ink = VERMILION if seen.relevant is False else INK
            below = "query" if seen.distance is None else f"{seen.distance:.3f}"
            lines = [(text, ink) for text in _wrapped(seen.caption, draw, font)]
            for number, (text, colour) in enumerate([*lines, (below, MUTED)]):
                draw.text((x, y + THUMB + 2 + number * TEXT), text, fill=colour, font=font)
    return png(sheet)


def _wrapped(text: str, draw: "ImageDraw.ImageDraw", font: Any) -> list[str]:
    """The text on one or two lines of a photograph's width; what does not fit is cut off."""
    first, rest = "", text
    while rest and draw.textlength(more := f"{first} {rest.partition(' ')[0]}".strip(), font) <= THUMB:
        first, rest = more, rest.partition(" ")[2]
    return [line for line in (first, fitting(rest, draw, font)) if line]


def fitting(text: str, draw: "ImageDraw.ImageDraw", font: Any, width: float = THUMB) -> str:
    """The text, cut to a width in pixels, that of a photograph unless told."""
    if draw.textlength(text, font) <= width:
        return text
    return next(cut for n in range(len(text), -1, -1) if draw.textlength(cut := f"{text[:n]}…", font) <= width)


def data_uri(image: np.ndarray) -> str:
    """A thumbnail (h, w, 3) uint8 as a data URI for <img>; JPEG, since PNG makes photographs 4 times larger."""
    buffer = io.BytesIO()
    photo(image, enlarge=False).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def photo(image: np.ndarray, *, enlarge: bool = True) -> "Image.Image":
    """The image as a PIL image of THUMB pixels a side, or smaller if it is and may stay so."""
    from PIL import Image

    shown = Image.fromarray(np.ascontiguousarray(image))
    if shown.size != (THUMB, THUMB) and (enlarge or max(shown.size) > THUMB):
        shown = shown.resize((THUMB, THUMB), Image.Resampling.LANCZOS)
    return shown


def canvas(width: int, height: int) -> tuple["Image.Image", "ImageDraw.ImageDraw", Any]:
    """(white image, its pen, a readable font)."""
    from PIL import Image, ImageDraw, ImageFont

    sheet = Image.new("RGB", (width, height), "white")
    return sheet, ImageDraw.Draw(sheet), ImageFont.load_default(size=12)


def png(sheet: "Image.Image") -> bytes:
    """The image as PNG bytes."""
    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
