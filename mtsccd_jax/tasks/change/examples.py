"""Example pairs with the prediction of every method (the paper's Table 8)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.report import text
from mtsccd_jax.report.pictures import photos
from mtsccd_jax.report.pictures.chart_style import INK, MUTED, VERMILION
from mtsccd_jax.report.published.tables import METHOD_NAMES
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, network, repeats_of
from mtsccd_jax.report.sections import Block, fragment
from mtsccd_jax.report.writer import Arrays, Writer

_EXAMPLES = ("row", "thumb_t1", "thumb_t2", "changed", "label_t1", "label_t2", "class_names")
_PREDICTIONS = ("changed", "predicted", "distance")
# Pixels of the methods' names on the sheet.
_NAMES = 210


@dataclass(frozen=True)
class Pair:
    """One example pair: both dates (h, w, 3) uint8, the land use at both where known, and whether it changed."""

    image_t1: np.ndarray
    image_t2: np.ndarray
    label: str
    changed: bool


@dataclass(frozen=True)
class Decision:
    """The prediction of one method for one pair: whether it changed, its distance, and whether that is right."""

    predicted: bool
    distance: float | None
    right: bool


@dataclass(frozen=True)
class Grid:
    """The same pairs under several methods: (title, its decisions) of each."""

    title: str
    pairs: tuple[Pair, ...]
    methods: tuple[tuple[str, tuple[Decision, ...]], ...]


def example_blocks(writer: Writer, runs: Sequence[Run]) -> Iterator[Block]:
    """Yield a grid for every split: the pairs of its first row with examples, and the predictions of each row.

    Of repetitions the lowest seed is shown. A row takes part if its predictions are of the same pairs.
    """
    by_split: dict[tuple[str, str], list[tuple[Run, Row]]] = {}
    for run, (row, *_) in repeats_of(runs, METHOD_NAMES):
        by_split.setdefault((row.dataset, row.split), []).append((run, row))
    yield Block("heading", "Example pairs and every method's prediction")
    yield Block(
        "prose",
        "As in the paper's Table 8: the same pairs for every method, first date above the second, drawn without regard "
        "to any prediction. ✓ right, ✕ wrong; beneath, the prediction and the distance.",
    )
    order = list(METHOD_NAMES)
    for members in by_split.values():
        grid, missing = example_grid(writer, sorted(members, key=lambda pair: order.index(pair[1].protocol)))
        yield Block("subheading", text.place(members[0][1]))
        yield from (Block("missing", f"Not shown. {reason}") for reason in missing)
        if grid:
            yield fragment(__package__, "examples.html", grid=grid)


def example_grid(writer: Writer, members: Sequence[tuple[Run, Row]]) -> tuple[Grid | None, list[str]]:
    """Return the grid of the rows of one split, also written as PNG, and why some rows are not in it."""
    missing: list[str] = []
    anchor: tuple[Row, Arrays] | None = None
    for _, row in members:
        found = writer.artefact(row, "examples", _EXAMPLES)
        if isinstance(found, str):
            missing.append(f"{METHOD_NAMES[row.protocol]}, {network(row)}: {found}")
        elif anchor is None:
            anchor = row, found
    if anchor is None:
        return None, missing
    row, examples = anchor
    pairs, places = example_pairs(examples), examples["row"].astype(np.int64)
    same = _pairs_of(writer, row)
    methods = []
    for run, member in members:
        arrays = writer.artefact(member, "predictions", _PREDICTIONS)
        who = f"{METHOD_NAMES[member.protocol]}, {network(member)}"
        if isinstance(arrays, str):
            missing.append(f"{who}: {arrays}")
        elif _pairs_of(writer, member) != same or places.max(initial=-1) >= len(arrays["changed"]):
            missing.append(f"{who}: its predictions are of other pairs.")
        else:
            decided = decisions(pairs, arrays["predicted"][places], arrays["distance"][places])
            methods.append((_title(run, member, members), decided))
    grid = Grid(text.place(members[0][1]), pairs, tuple(methods))
    writer.picture(f"verdicts_{row.split}_{row.id}", example_sheet(grid))
    return grid, missing


def example_pairs(examples: Arrays) -> tuple[Pair, ...]:
    """Return the pairs of an `examples` artefact."""
    shorts = text.short_class_names([str(name) for name in examples["class_names"]])

    def label(*classes: int) -> str:
        known = all(0 <= c < len(shorts) for c in classes)
        return " → ".join(shorts[c] for c in classes) if known else ""

    return tuple(
        Pair(np.asarray(t1, np.uint8), np.asarray(t2, np.uint8), label(int(label_t1), int(label_t2)), bool(changed))
        for t1, t2, label_t1, label_t2, changed in zip(
            *(examples[name] for name in ("thumb_t1", "thumb_t2", "label_t1", "label_t2", "changed")), strict=True
        )
    )


def decisions(pairs: Sequence[Pair], predicted_n: np.ndarray, distance_n: np.ndarray) -> tuple[Decision, ...]:
    """Return what a method predicts of the pairs: whether each has changed (n,), and its distance (n,)."""
    return tuple(
        Decision(bool(said), float(distance) if np.isfinite(distance) else None, bool(said) == pair.changed)
        for pair, said, distance in zip(pairs, predicted_n, distance_n, strict=True)
    )


def example_sheet(grid: Grid) -> bytes:
    """Return the PNG of a grid: the pairs across, first date above the second, and a line of decisions a method."""
    thumb, margin, line, wide = photos.THUMB, photos.MARGIN, photos.TEXT, photos.THUMB + photos.GAP
    left, top = margin + _NAMES, margin + 2 * (thumb + 2) + 2 * line
    sheet, draw, font = photos.canvas(
        margin + left + wide * len(grid.pairs), top + 2 * line * len(grid.methods) + margin
    )
    for place, name in ((thumb // 2, "First date"), (thumb + thumb // 2, "Second date"), (2 * thumb + 8, "Truth")):
        draw.text((margin, margin + place), name, fill=MUTED, font=font)
    for column, pair in enumerate(grid.pairs):
        x, below = left + column * wide, margin + 2 * thumb + 4
        sheet.paste(photos.photo(pair.image_t1), (x, margin))
        sheet.paste(photos.photo(pair.image_t2), (x, margin + thumb + 2))
        draw.text((x, below), pair.label.replace("→", "to"), fill=MUTED, font=font)
        draw.text((x, below + line), _word(pair.changed), fill=INK, font=font)
    for row, (title, decided) in enumerate(grid.methods):
        y = top + row * 2 * line + line // 2
        draw.text((margin, y), title[:34], fill=INK, font=font)
        for column, decision in enumerate(decided):
            said = _word(decision.predicted) + ("" if decision.right else "  wrong")
            draw.text((left + column * wide, y), said, fill=INK if decision.right else VERMILION, font=font)
    return photos.png(sheet)


def _word(changed: bool) -> str:
    return "changed" if changed else "unchanged"


def _pairs_of(writer: Writer, row: Row) -> tuple[object, ...]:
    """Return what tells the pairs of rows apart: their file names, or the truth where there are none."""
    arrays = writer.artefact(row, "predictions", ("changed",))
    if isinstance(arrays, str):
        return (row.id,)
    keys = ("filename_t1", "filename_t2") if "filename_t1" in arrays else ("changed",)
    return tuple(np.asarray(arrays[key]).tobytes() for key in keys)


def _title(run: Run, row: Row, members: Sequence[tuple[Run, Row]]) -> str:
    """Return method and network, and the recipe and objective where other rows have the same."""
    title = f"{METHOD_NAMES[row.protocol]} {network(row)}"
    alike = [other for _, other in members if (other.protocol, network(other)) == (row.protocol, network(row))]
    if len(alike) > 1:
        title += f", {run.name}"
    if len({other.objective for other in alike}) > 1 and row.objective:
        title += f", best {row.objective}"
    return title
