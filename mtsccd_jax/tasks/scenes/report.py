"""The page on scene classification: results, confusion matrices, and scenes of every class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.ops.metrics import precision_recall_f1
from mtsccd_jax.report import results, text
from mtsccd_jax.report.comparable import contests, differences_section, kappa_tables, labelled
from mtsccd_jax.report.pictures import charts, photos
from mtsccd_jax.report.pictures.chart_style import INK, MUTED
from mtsccd_jax.report.results import Column, baseline_column, metric_column, result_table
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, network, rows_of, shown
from mtsccd_jax.report.sections import Block, Figure, Fold, Place, Protocol, Section, TaskReport, fragment
from mtsccd_jax.report.summary import beside_trivial, estimate
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.unique_names import network_among, titles_apart
from mtsccd_jax.report.writer import Arrays, Writer
from mtsccd_jax.tasks import mtsccd_paper
from mtsccd_jax.tasks.mtsccd_paper import is_comparable, paper_accuracy
from mtsccd_jax.tasks.scenes.definitions import DEFINITIONS

_PAPER_FIGURES = {"test_a": "as in the paper's Figure 4", "test_b": "as in the paper's Figure 5"}
_SHEET = ("thumb", "label", "city", "phase", "class_names", "city_names")
# Scenes side by side on the page; pixels of the classes' names on the sheet.
_ACROSS = 5
_NAMES = 190


@dataclass(frozen=True)
class Scene:
    """One scene: its image (h, w, 3) uint8 and what stands beneath it."""

    image: np.ndarray
    caption: str


@dataclass(frozen=True)
class SceneClass:
    """The scenes of one class."""

    name: str
    short: str
    scenes: tuple[Scene, ...]


def sentence(rows: Sequence[Row]) -> str:
    """Say what repetitions of one scene row show."""
    row, (value, spread) = rows[0], estimate(rows, "oa", text.percent)
    named = f"On {text.place(row)} the land use of {text.percent(value)} of {row.n:,} scenes is named correctly"
    kappa = f"; kappa {estimate(rows, 'kappa')[0]:.3f}" if text.value_of(row, "kappa") is not None else ""
    trivial = beside_trivial(rows, "oa", "Always naming the most frequent class would score", text.percent)
    return f"{named} ({spread}){kappa}.{trivial}"


def scene_section(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield the results: every row, charts of them, confusion matrices and classes."""
    blocks = [
        Block("long tables", [writer.table(scene_table(runs))], "results"),
        Block("figures", results.overview(writer, runs, REPORT.protocols, "scene"), "large"),
        Block("details", _details(writer, shown(runs, ["scene"])), "first open"),
    ]
    footer = [mtsccd_paper.CITATION]
    yield Section("scenes", "Scene classification", Place.RESULTS, blocks, "Scenes", footer=footer)


def speed_section(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield overall accuracy against throughput."""
    rows = rows_of(runs, ["scene"])
    yield results.speed_section(results.pareto(writer, runs, rows, "scene", "scenes", "oa", "overall accuracy"))


def differences(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield which differences between networks hold."""
    found = contests(writer, runs, ["scene"], "kappa", truth="label", names=["filename"], needed=["prediction"])
    yield differences_section(
        writer,
        [labelled(entries) for entries in found],
        lambda where, entries: kappa_tables("scenes", where, entries, "label", "prediction"),
    )


def images(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield scenes of every class of each split, and write the sheet of all of them."""
    firsts: dict[tuple[str, str], Row] = {}
    for row in rows_of(runs, ["scene"]):
        # The test scenes are the same in both configurations of MtSCCD: one sheet a split is enough.
        firsts.setdefault((text.archive(row), row.split), row)
    found: list[Arrays] = []
    blocks: list[Block] = []
    for row in firsts.values():
        arrays = writer.artefact(row, "scenes", _SHEET)
        if isinstance(arrays, str):
            where = text.split_name(row.split, row.dataset)
            blocks.append(Block("missing", f"No sheet of scenes. {where}: {arrays}"))
        else:
            found.append(arrays)
    classes = scene_classes(found)
    if classes:
        writer.picture("scenes", scene_sheet(classes))
        columns = min(max(len(scene_class.scenes) for scene_class in classes), _ACROSS)
        blocks += [
            Block("heading", "Scenes of every class"),
            fragment(__package__, "scenes.html", classes=classes, columns=columns),
        ]
    blocks = blocks or [Block("missing", "No images with these rows.")]
    yield Section("images", "What it looks like", Place.IMAGES, blocks, "Images")


def scene_classes(sheets: Sequence[Arrays]) -> list[SceneClass]:
    """Return the scenes of several `scenes` artefacts by class, cities in the order of the artefacts."""
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
            caption = " ".join(filter(None, (place, date)))
            by_class.setdefault(names[int(label)], []).append(Scene(np.asarray(thumb, np.uint8), caption))
    present = [name for name in order if name in by_class]
    shorts = text.short_class_names(present)
    return [
        SceneClass(text.class_name(name), short, tuple(by_class[name]))
        for name, short in zip(present, shorts, strict=True)
    ]


def scene_sheet(classes: Sequence[SceneClass]) -> bytes:
    """Return the PNG of scenes, one line a class (the paper's Figure 1, with its cities)."""
    thumb, margin, gap = photos.THUMB, photos.MARGIN, photos.GAP
    longest = max((len(c.scenes) for c in classes), default=0)
    line = thumb + photos.TEXT + gap
    width = 2 * margin + _NAMES + longest * (thumb + gap)
    sheet, draw, font = photos.canvas(width, 2 * margin + len(classes) * line)
    for row, scene_class in enumerate(classes):
        y = margin + row * line
        name = scene_class.name if len(scene_class.name) <= 26 else f"{scene_class.name[:25]}…"
        draw.text((margin, y + thumb // 2 - 18), scene_class.short, fill=INK, font=font)
        draw.text((margin, y + thumb // 2), name, fill=MUTED, font=font)
        for column, scene in enumerate(scene_class.scenes):
            x = margin + _NAMES + column * (thumb + gap)
            sheet.paste(photos.photo(scene.image), (x, y))
            draw.text((x, y + thumb + 2), scene.caption, fill=MUTED, font=font)
    return photos.png(sheet)


def _details(writer: Writer, rows: Sequence[Row]) -> list[Fold]:
    """Return the confusion matrices of each split (the paper's Figures 4 and 5), then the classes of every network."""
    by_split: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        by_split.setdefault((row.dataset, row.split), []).append(row)
        writer.table(results.confusion_table(row, "Scene classification"))
    firsts = [members[0] for members in by_split.values()]
    folds = []
    for where, members in zip(titles_apart(list(map(text.place, firsts)), firsts), by_split.values(), strict=True):
        first = members[0]
        number = _PAPER_FIGURES.get(first.split) if first.dataset.startswith("mtsccd") else None
        title = ", ".join(filter(None, ("Confusion matrices", where, number)))
        drawn = [_confusion(writer, row, members) for row in members]
        folds.append(Fold(title, [Block("figures", drawn, "large")]))
    classes = [writer.table(class_table(row)) for row in rows]
    return [*folds, Fold("Precision, recall and F1 of every class", [Block("columns", classes)])]


def _confusion(writer: Writer, row: Row, among: Sequence[Row]) -> Figure:
    """Draw the confusion matrix of a row, MtSCCD's classes by abbreviation as in the paper's figures."""
    order = list(range(len(row.class_names)))
    if all(name in text.ABBREVIATIONS for name in row.class_names):
        order.sort(key=lambda i: text.ABBREVIATIONS[row.class_names[i]])
    names = text.short_class_names([row.class_names[i] for i in order])
    where = text.split_name(row.split, row.dataset)
    alt = f"Confusion matrix of scene classes by {network(row)} on {where}"
    chart = charts.confusion(np.asarray(row.confusion)[np.ix_(order, order)], names, alt)
    title, caption = f"{network_among(row, among)}, seed {row.seed}", "Rows are the truth and sum to 100 %."
    return writer.draw(f"confusion_scene_{row.split}_{row.id}", title, caption, chart, wide=len(names) > 12)


def scene_table(runs: Sequence[Run]) -> Table:
    """Return the table of every scene row."""
    caption = (
        "Scene classification. OA is the micro average; balanced accuracy is the mean recall of the classes, F1 macro "
        "their mean F1. Intervals are 95 %, from resampled test scenes. "
        "Trivial: always naming the most frequent class. Paper: Table 6."
    )
    first = Column("Test set", lambda row: Cell(text.short_split(row.split, row.dataset)))
    columns = (
        Column("Scenes", lambda row: Cell(f"{row.n:,}")),
        metric_column("oa"),
        metric_column("kappa"),
        metric_column("balanced"),
        metric_column("f1", "F1 macro"),
        baseline_column("Trivial OA", "oa"),
        Column("Paper's OA", paper_accuracy),
        Column("Difference", lambda row: Cell(text.signed(_difference(row)))),
    )
    return result_table("scene", caption, first, columns, runs, ["scene"])


def class_table(row: Row) -> Table:
    """Return the table of precision, recall and F1 of every class of a scene row."""
    precision_k, recall_k, f1_k = precision_recall_f1(np.asarray(row.confusion))
    shorts = text.short_class_names(row.class_names)
    rows, records = [], []
    for i, name in enumerate(row.class_names):
        values = {"precision": float(precision_k[i]), "recall": float(recall_k[i]), "f1": float(f1_k[i])}
        n, title = sum(row.confusion[i]), text.class_name(name)
        named = title if shorts[i].lower() == title.lower() else f"{title} ({shorts[i]})"
        rows.append([Cell(named), Cell(f"{n:,}"), *(Cell(text.number(value)) for value in values.values())])
        records.append({"class": name, "n": n, **values})
    columns = (("Class", False), ("Scenes", True), ("Precision", True), ("Recall", True), ("F1", True))
    where = text.split_name(row.split, row.dataset)
    return Table(f"classes_{row.split}_{row.id}", f"By class on {where}.", columns, rows, records)


def _difference(row: Row) -> float | None:
    """Return the overall accuracy minus the paper's, where they are of as many scenes."""
    oa, paper = text.value_of(row, "oa"), text.published_of(row, "oa")
    return oa - paper if oa is not None and paper is not None and is_comparable(row) else None


REPORT = TaskReport(
    subject="Land use",
    topics=("scenes", "change"),
    protocols=(Protocol("scene", "Scene classification", "Scenes named correctly", "oa", sentence),),
    sections=(
        mtsccd_paper.beside_the_paper,
        speed_section,
        differences,
        scene_section,
        images,
        mtsccd_paper.published_values,
    ),
    definitions=DEFINITIONS,
)
