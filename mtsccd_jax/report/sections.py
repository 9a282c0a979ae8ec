"""The parts of the page: the figures, tables and photographs that rows and artefacts give."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax.errors import InputError
from mtsccd_jax.files import replacing
from mtsccd_jax.report import figures, published, rows, sheets, tables, words
from mtsccd_jax.report.figures import Curve, Estimate, Point
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.tables import Table
from mtsccd_jax.report.words import Run


@dataclass(frozen=True)
class Drawn:
    """A figure on the page; where there is nothing to draw, `svg` is empty and `missing` says why."""

    title: str
    caption: str = ""
    svg: str = ""
    missing: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Detail:
    """The figures and tables of one run and seed; the first is open on the page."""

    title: str
    figures: list[Drawn]
    tables: list[Table] = field(default_factory=list)


@dataclass
class Folder:
    """The folder that is being written, and where the artefacts of each row lie."""

    out_dir: Path
    workdir_of: dict[str, Path]
    count: int = 0

    def draw(self, name: str, title: str, caption: str, svg: str, *, wide: bool = False) -> Drawn:
        """The figure for the page, written to the folder of figures under its name too."""
        self.count += 1
        write_text(self.out_dir / "figures" / f"{name}.svg", svg)
        return Drawn(title, caption, figures.inline(svg, f"f{self.count}"), wide=wide)

    def table(self, table: Table) -> Table:
        """The table, written as CSV and Markdown too."""
        write_text(self.out_dir / "tables" / f"{table.name}.csv", tables.csv_text(table))
        write_text(self.out_dir / "tables" / f"{table.name}.md", tables.markdown_text(table))
        return table

    def artefact(self, row: Row, name: str, keys: Sequence[str]) -> dict[str, np.ndarray] | str:
        """The arrays of a row's artefact, or a sentence on why they cannot be shown."""
        try:
            arrays = rows.load_artefact(self.workdir_of[row.id], row, name)
        except InputError as error:
            return str(error)
        if arrays is None:
            named = row.artefacts.get(name)
            return f"{named} is missing from the work directory." if named else f"The row names no “{name}” artefact."
        if absent := [key for key in keys if key not in arrays]:
            return f"{row.artefacts[name]} lacks {', '.join(absent)}."
        return arrays


def overview(folder: Folder, runs: Sequence[Run], kind: str) -> list[Drawn]:
    """The charts that set all rows of a kind beside the trivial predictor and the paper."""
    members = [row for run in runs for row in run.rows if (row.protocol == "scene") == (kind == "scene")]
    if not members:
        return []
    seeds, objectives = {row.seed for row in members}, {row.objective for row in members if row.objective}

    def label(row: Row) -> str:
        parts = [words.short_split(row.split, row.dataset)]
        if kind == "change":
            parts.insert(0, words.method_name(row.protocol))
        if len(runs) > 1:
            parts.append(row.model)
        if len(seeds) > 1:
            parts.append(f"seed {row.seed}")
        if len(objectives) > 1 and row.objective:
            parts.append(f"best {row.objective}")
        return ", ".join(parts)

    def estimates(metric: str) -> list[Estimate]:
        found = []
        for row in members:
            entry, paper, baseline = row.metrics.get(metric), row.published or {}, row.baseline or {}
            if entry and entry["value"] is not None:
                possible = bool(paper.get("possible", True)) or metric != "kappa"
                trivial, value = baseline.get(metric), paper.get(metric)
                found.append(
                    Estimate(label(row), entry["value"], entry["low"], entry["high"], trivial, value, possible)
                )
        return found

    drawn = []
    for metric, axis in (("kappa", "Cohen's kappa"), ("oa", "overall accuracy")):
        if found := estimates(metric):
            title = f"{axis[0].upper()}{axis[1:]} with 95 % interval"
            values = ", ".join(f"{e.label}: {e.value:.3f}" for e in found)
            svg = figures.intervals(found, f"{axis} (0: chance)" if metric == "kappa" else f"{axis} (0 to 1)", values)
            drawn.append(folder.draw(f"{kind}_{metric}", title, "", svg))
    if kind == "change":
        drawn.append(_kappa_plane(folder, members))
    return drawn


def _kappa_plane(folder: Folder, members: Sequence[Row]) -> Drawn:
    """Our rows among the paper's, in the plane of overall accuracy and kappa."""
    own = []
    for row in members:
        oa, kappa = words.value_of(row, "oa"), words.value_of(row, "kappa")
        if oa is not None and kappa is not None:
            own.append(Point(oa, kappa, f"this run, {words.method_name(row.protocol)}"))
    paper = published.audit()
    svg = figures.kappa_plane(
        [Point(e.oa, e.kappa) for e in paper if e.possible],
        [Point(e.oa, e.kappa) for e in paper if not e.possible],
        own,
        "Kappa against overall accuracy: the paper's entries, those above the bound, and this report's rows",
    )
    caption = "The line is the largest kappa an overall accuracy allows, whatever the share of changed pairs."
    return folder.draw("kappa_plane", "What a pair of numbers can be", caption, svg)


def details(
    runs: Sequence[Run], draw: Callable[[Row], tuple[list[Drawn], list[Table]]], folder: Folder, kind: str
) -> list[Detail]:
    """The figures of every row, by run and seed."""
    details = []
    for run in runs:
        for seed in run.seeds:
            members = [r for r in run.rows if r.seed == seed and (r.protocol == "scene") == (kind == "scene")]
            drawn: list[Drawn] = []
            extra: list[Table] = []
            for row in members:
                row_figures, row_tables = draw(row)
                drawn += row_figures
                extra += row_tables
                folder.table(tables.confusion_table(row))
            if members:
                details.append(Detail(f"{run.model}, recipe {run.name}, seed {seed}", drawn, extra))
    return details


def scene_figures(folder: Folder, row: Row) -> tuple[list[Drawn], list[Table]]:
    """The confusion matrix and the table by class of a scene row."""
    where = words.split_name(row.split, row.dataset)
    names = words.short_class_names(row.class_names)
    svg = figures.confusion(np.asarray(row.confusion), names, f"Confusion matrix of scene classes on {where}")
    name = f"confusion_scene_{row.split}_{row.id}"
    caption = "Rows are the truth and sum to 100 %."
    return [folder.draw(name, f"Confusion, {where}", caption, svg, wide=len(names) > 12)], [
        folder.table(tables.class_table(row))
    ]


def change_figures(folder: Folder, row: Row) -> tuple[list[Drawn], list[Table]]:
    """The distances, the threshold curves and the confusion matrix of a change row."""
    where = words.split_name(row.split, row.dataset)
    method = words.method_name(row.protocol)
    drawn: list[Drawn] = []
    if row.protocol == "cfsm":
        drawn += _distance_figures(folder, row, where)
    svg = figures.confusion(
        np.asarray(row.confusion), row.class_names, f"Confusion matrix of changed and unchanged by {method} on {where}"
    )
    name = f"confusion_{row.protocol}_{row.split}_{row.id}"
    drawn.append(folder.draw(name, f"{method} confusion, {where}", "Rows are the truth.", svg))
    return drawn, []


def _distance_figures(folder: Folder, row: Row, where: str) -> list[Drawn]:
    """The histogram of distances and the metrics against the threshold of a CFSM row."""
    titles = f"Distances, {where}", f"Choice of threshold, {where}"
    test = folder.artefact(row, "predictions", ("distance", "changed"))
    if isinstance(test, str):
        return [Drawn(title, missing=test) for title in titles]
    label = words.distance_label(row)
    changed, distance = test["changed"].astype(bool), test["distance"].astype(np.float64)
    alt = f"Histogram of feature distances on {where}; threshold {words.threshold_text(row)}"
    svg = figures.distance_histogram(distance, changed, row.threshold, label, alt)
    drawn = [folder.draw(f"distances_{row.split}_{row.id}", titles[0], "", svg)]
    validation = None
    note = ""
    if row.threshold_from == "validation":
        arrays = folder.artefact(row, "validation", ("distance", "changed"))
        if isinstance(arrays, str):
            note = f"No validation curves: {arrays}"
        else:
            validation = curve(arrays["distance"], arrays["changed"])
    svg = figures.threshold_curves(
        curve(distance, changed),
        validation,
        row.threshold,
        (row.baseline or {}).get("oa"),
        "feature distance",
        f"Overall accuracy, kappa and F1 against the threshold on {where}",
    )
    return [*drawn, folder.draw(f"thresholds_{row.split}_{row.id}", titles[1], note, svg)]


def curve(distance_n: np.ndarray, changed_n: np.ndarray) -> Curve:
    """The metrics at up to `figures.MAX_POINTS` thresholds, descending, of distances (n,) and what changed (n,)."""
    from mtsccd_jax.ops.metrics import binary_metrics
    from mtsccd_jax.ops.threshold import threshold_curve

    columns = [np.asarray(column) for column in threshold_curve(distance_n, np.asarray(changed_n).astype(bool))]
    finite = np.flatnonzero(np.isfinite(columns[0]))
    if len(finite) > figures.MAX_POINTS:
        finite = finite[np.linspace(0, len(finite) - 1, figures.MAX_POINTS).round().astype(np.int64)]
    threshold, *counts = (column[finite] for column in columns)
    metrics = [binary_metrics(np.array(confusion)) for confusion in zip(*counts, strict=True)]
    return Curve(threshold, *(np.array([m[name] for m in metrics]) for name in ("oa", "kappa", "f1")))


def scene_sheet(folder: Folder, scene_rows: Sequence[Row]) -> dict[str, Any]:
    """The scenes of every class, one sheet a split, and the PNG of all of them beside the page."""
    found, missing = [], []
    for split in dict.fromkeys((row.dataset, row.split) for row in scene_rows):
        row = next(r for r in scene_rows if (r.dataset, r.split) == split)
        arrays = folder.artefact(row, "scenes", ("thumb", "label", "city", "phase", "class_names", "city_names"))
        if isinstance(arrays, str):
            missing.append(f"{words.split_name(row.split, row.dataset)}: {arrays}")
        else:
            found.append(arrays)
    classes = sheets.scene_classes(found)
    if classes:
        write_bytes(folder.out_dir / "figures" / "scenes.png", sheets.scene_sheet(classes))
    return {"classes": classes, "missing": missing, "columns": max((len(c.scenes) for c in classes), default=1)}


def examples(folder: Folder, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The example pairs of every change row by outcome, CFSM first."""
    shown: list[dict[str, Any]] = []
    keys = ("thumb_t1", "thumb_t2", "changed", "predicted", "label_t1", "label_t2", "distance", "class_names")
    members = [(run, row) for run in runs for row in run.rows if row.protocol != "scene"]
    for run, row in sorted(members, key=lambda member: member[1].protocol != "cfsm"):
        title = f"{words.method_name(row.protocol)} on {words.split_name(row.split, row.dataset)}"
        title += f", {row.model}, {run.name}, seed {row.seed}"
        arrays = folder.artefact(row, "examples", keys)
        if isinstance(arrays, str):
            shown.append({"title": title, "missing": arrays, "groups": []})
            continue
        by_outcome = sheets.pairs_by_outcome(arrays)
        name = f"examples_{row.protocol}_{row.split}_{row.id}.png"
        write_bytes(folder.out_dir / "figures" / name, sheets.pair_sheet(by_outcome))
        (tn, fp), (fn, tp) = row.confusion
        counts = {(True, True): tp, (False, False): tn, (True, False): fn, (False, True): fp}
        groups: list[dict[str, Any]] = [
            {"title": outcome, "count": counts[key], "pairs": by_outcome[outcome], "right": key[0] == key[1]}
            for key, outcome in sheets.OUTCOMES.items()
        ]
        measure = "distance of the features" if row.protocol == "cfsm" else "difference of the class probabilities"
        shown.append({"title": title, "missing": "", "groups": groups, "measure": measure})
    return shown


def training_figures(folder: Folder, runs: Sequence[Run]) -> tuple[list[Drawn], dict[tuple[str, int], float]]:
    """(loss and throughput of every trained network, its median images/s by recipe and seed where known)."""
    drawn: list[Drawn] = []
    speeds: dict[tuple[str, int], float] = {}
    for run in runs:
        for seed in run.seeds:
            # The training history grows until training ends: the newest row has the whole of it.
            row = next((r for r in reversed(run.rows) if r.seed == seed and "training" in r.artefacts), run.rows[0])
            which = f"{run.model}, {run.name}, seed {seed}"
            arrays = folder.artefact(row, "training", ("step", "loss"))
            if isinstance(arrays, str):
                drawn.append(Drawn(f"Training, {which}", missing=arrays))
                continue
            name = f"{run.name}_{run.model}_seed{seed}"
            if not len(arrays["step"]):
                drawn.append(Drawn(f"Training, {which}", missing="The training history is empty."))
                continue
            svg = figures.loss_curve(
                arrays["step"], arrays["loss"], arrays.get("learning_rate"), f"Training loss of {which} by step"
            )
            drawn.append(folder.draw(f"loss_{name}", f"Loss, {which}", "", svg))
            rate = arrays.get("images_per_s", np.array([]))
            known = np.isfinite(rate)
            if known.any():
                speeds[run.name, seed] = float(np.median(rate[known]))
                svg = figures.throughput(arrays["step"][known], rate[known], f"Training throughput of {which} by step")
                drawn.append(folder.draw(f"throughput_{name}", f"Throughput, {which}", "", svg))
    return drawn, speeds


def write_text(path: Path, text: str) -> None:
    """Nothing; writes a text file whole or not at all."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Nothing; writes a file whole or not at all."""
    with replacing(path) as file:
        file.write(content)
