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

_MARGIN = 16
_GAP = 6
_TEXT = 18


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
    width = 2 * _MARGIN + left + longest * (THUMB + _GAP)
    line = THUMB + _TEXT + _GAP
    canvas, draw, font = _canvas(width, 2 * _MARGIN + len(classes) * line)
    for row, scene_class in enumerate(classes):
        y = _MARGIN + row * line
        name = scene_class.name if len(scene_class.name) <= 26 else f"{scene_class.name[:25]}…"
        draw.text((_MARGIN, y + THUMB // 2 - 18), scene_class.short, fill=INK, font=font)
        draw.text((_MARGIN, y + THUMB // 2), name, fill=MUTED, font=font)
        for column, scene in enumerate(scene_class.scenes):
            x = _MARGIN + left + column * (THUMB + _GAP)
            canvas.paste(_photo(scene.image), (x, y))
            draw.text((x, y + THUMB + 2), scene.caption, fill=MUTED, font=font)
    return _png(canvas)


def verdict_sheet(grid: Grid) -> bytes:
    """The PNG of a grid: the pairs across, first date above the second, and a line of verdicts a method below."""
    left, wide, line = 210, THUMB + _GAP, 2 * _TEXT
    top = _MARGIN + 2 * (THUMB + 2) + 2 * _TEXT
    height = top + line * len(grid.opinions) + _MARGIN
    canvas, draw, font = _canvas(2 * _MARGIN + left + wide * len(grid.pairs), height)
    for place, text in ((THUMB // 2, "First date"), (THUMB + THUMB // 2, "Second date"), (2 * THUMB + 8, "Truth")):
        draw.text((_MARGIN, _MARGIN + place), text, fill=MUTED, font=font)
    for column, pair in enumerate(grid.pairs):
        x = _MARGIN + left + column * wide
        canvas.paste(_photo(pair.image_t1), (x, _MARGIN))
        canvas.paste(_photo(pair.image_t2), (x, _MARGIN + THUMB + 2))
        truth = "changed" if pair.changed else "unchanged"
        draw.text((x, _MARGIN + 2 * THUMB + 4), pair.label.replace("→", "to"), fill=MUTED, font=font)
        draw.text((x, _MARGIN + 2 * THUMB + 4 + _TEXT), truth, fill=INK, font=font)
    for row, said in enumerate(grid.opinions):
        y = top + row * line + _TEXT // 2
        draw.text((_MARGIN, y), said.title[:34], fill=INK, font=font)
        for column, (called, right) in enumerate(zip(said.called, said.right, strict=True)):
            text = ("changed" if called else "unchanged") + ("" if right else "  wrong")
            draw.text((_MARGIN + left + column * wide, y), text, fill=INK if right else VERMILION, font=font)
    return _png(canvas)


def data_uri(image: np.ndarray) -> str:
    """A thumbnail (h, w, 3) uint8 as a data URI for <img>; JPEG, since PNG makes photographs 4 times larger."""
    buffer = io.BytesIO()
    _photo(image, enlarge=False).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _photo(image: np.ndarray, *, enlarge: bool = True) -> "Image.Image":
    """The image as a PIL image of THUMB pixels a side, or smaller if it is and may stay so."""
    from PIL import Image

    photo = Image.fromarray(np.ascontiguousarray(image))
    if photo.size != (THUMB, THUMB) and (enlarge or max(photo.size) > THUMB):
        photo = photo.resize((THUMB, THUMB), Image.Resampling.LANCZOS)
    return photo


def _canvas(width: int, height: int) -> tuple["Image.Image", "ImageDraw.ImageDraw", Any]:
    """(white image, its pen, a readable font)."""
    from PIL import Image, ImageDraw, ImageFont

    canvas = Image.new("RGB", (width, height), "white")
    return canvas, ImageDraw.Draw(canvas), ImageFont.load_default(size=12)


def _png(canvas: "Image.Image") -> bytes:
    """The image as PNG bytes."""
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
