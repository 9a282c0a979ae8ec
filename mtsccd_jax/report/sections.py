"""The parts of the page: the figures that rows and artefacts give."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from mtsccd_jax.report import figures, naming, published, row_tables, sheets, words
from mtsccd_jax.report.figures import Curve, Estimate, Point, Speed
from mtsccd_jax.report.folder import Detail, Drawn, Folder, write_bytes
from mtsccd_jax.report.rows import CHANGE, Row
from mtsccd_jax.report.words import Run

# More rows than this in one chart cannot be told apart; then there is a chart a method.
CHART_ROWS = 14
# More rows than this, and only the lowest seed of each run is drawn; all seeds are in the tables.
ALL_SEEDS = 30


def shown(runs: Sequence[Run]) -> list[Row]:
    """The rows that get figures of their own: all, or where they are too many those of every run's lowest seed."""
    every = [row for run in runs for row in run.rows]
    if len(every) <= ALL_SEEDS:
        return every
    return [row for run in runs for row in run.rows if row.seed == run.seeds[0]]


def overview(folder: Folder, runs: Sequence[Run], kind: str) -> list[Drawn]:
    """The charts that set the rows of a kind beside the trivial predictor and the paper."""
    members = [row for row in shown(runs) if words.kind(row) == kind]
    if not members:
        return []
    drawn = []
    for metric, axis in (("kappa", "Cohen's kappa"), ("oa", "overall accuracy")):
        title = f"{axis[0].upper()}{axis[1:]} with 95 % interval"
        label = f"{axis} (0: chance)" if metric == "kappa" else f"{axis} (0 to 1)"
        if len(members) <= CHART_ROWS:
            drawn += _intervals(folder, f"{kind}_{metric}", title, label, members, metric, methods=kind == "change")
            continue
        for protocol in dict.fromkeys(row.protocol for row in members):
            own = [row for row in members if row.protocol == protocol and row.split != "validation"]
            name = f"{kind}_{metric}" if protocol == "scene" else f"{kind}_{metric}_{protocol}"
            which = title if protocol == "scene" else f"{words.method_name(protocol)}: {title}"
            drawn += _intervals(folder, name, which, label, own, metric, methods=False)
    if kind == "change":
        drawn.append(_kappa_plane(folder, members))
    return drawn


def _intervals(
    folder: Folder, name: str, title: str, axis: str, members: Sequence[Row], metric: str, *, methods: bool
) -> list[Drawn]:
    """The chart of one metric of some rows, whose labels say what tells them apart; none without values."""
    distinct = {
        key: len({getattr(row, key) for row in members if getattr(row, key) is not None}) > 1
        for key in ("seed", "objective")
    }
    networks = {row.id: naming.network_among(row, members) for row in members}
    several = len(set(networks.values())) > 1

    def label(row: Row) -> str:
        parts = [words.short_place(row)]
        if methods:
            parts.insert(0, words.method_name(row.protocol))
        if several:
            parts.append(networks[row.id])
        if distinct["seed"]:
            parts.append(f"seed {row.seed}")
        if distinct["objective"] and row.objective:
            parts.append(f"best {row.objective}")
        return ", ".join(parts)

    found = []
    for row in members:
        entry, paper, baseline = row.metrics.get(metric), row.published or {}, row.baseline or {}
        if entry and entry["value"] is not None:
            possible = bool(paper.get("possible", True)) or metric != "kappa"
            trivial, value = baseline.get(metric), paper.get(metric)
            found.append(Estimate(label(row), entry["value"], entry["low"], entry["high"], trivial, value, possible))
    if not found:
        return []
    alt = ", ".join(f"{e.label}: {e.value:.3f}" for e in found)
    return [folder.draw(name, title, "", figures.intervals(found, axis, alt))]


def _kappa_plane(folder: Folder, members: Sequence[Row]) -> Drawn:
    """Our rows among the paper's, in the plane of overall accuracy and kappa."""
    own = []
    for row in members:
        oa, kappa = words.value_of(row, "oa"), words.value_of(row, "kappa")
        if oa is not None and kappa is not None:
            own.append(Point(oa, kappa, f"this run, {words.method_name(row.protocol)}"))
    paper = published.audit()
    chart = figures.kappa_plane(
        [Point(e.oa, e.kappa) for e in paper if e.possible],
        [Point(e.oa, e.kappa) for e in paper if not e.possible],
        own,
        "Kappa against overall accuracy: the paper's entries, those above the bound, and this report's rows",
    )
    caption = "The line is the largest kappa an overall accuracy allows, whatever the share of changed pairs."
    return folder.draw("kappa_plane", "What a pair of numbers can be", caption, chart)


def pareto(folder: Folder, runs: Sequence[Run]) -> list[Drawn]:
    """What networks reach against how fast they are, a chart a kind of rows; none with fewer than two networks."""
    drawn = []
    rows = [row for row in shown(runs) if row.images_per_s and row.split != "validation"]
    devices = sorted({row.device for row in rows if row.device})
    note = f"On {devices[0]}. " if len(devices) == 1 else "On different devices, so speeds are no comparison. "
    archives = list(dict.fromkeys(row.dataset.partition("/")[0] for row in rows if words.kind(row) == "labels"))
    for kind, metric, axis, archive in (
        ("scene", "oa", "overall accuracy", ""),
        ("change", "kappa", "Cohen's kappa", ""),
        *(("labels", "ap_macro", "average precision", archive) for archive in archives),
    ):
        groups: dict[tuple[str, str, str, str | None], list[Row]] = {}
        for row in rows:
            of_kind = words.kind(row) == kind and row.dataset.startswith(archive)
            if of_kind and words.value_of(row, metric) is not None:
                run = json.dumps(words.settings(row), sort_keys=True)
                groups.setdefault((row.protocol, run, row.dataset, row.objective), []).append(row)
        firsts = [members[0] for members in groups.values()]
        if len({words.network(row) for row in firsts}) < 2:
            continue
        speeds = [
            Speed(
                float(np.median([row.images_per_s or np.nan for row in members])),
                float(np.mean([words.value_of(row, metric) or 0.0 for row in members])),
                naming.network_among(members[0], firsts) + (", leak-free" if words.is_leak_free(members[0]) else ""),
                words.method_name(protocol) if kind == "change" else "",
            )
            for (protocol, *_), members in groups.items()
        ]
        alt = ", ".join(f"{s.kind} {s.label}: {s.value:.3f} at {s.images_per_s:,.0f} images/s".strip() for s in speeds)
        chart = figures.pareto(speeds, f"{axis}, mean of the test sets", alt)
        what = {"scene": "scenes", "labels": words.data_name(archive)}.get(kind, kind)
        title = f"{axis[0].upper()}{axis[1:]} against throughput, {what}"
        caption = f"{note}Named are the networks that no other beats in both."
        drawn.append(folder.draw("_".join(filter(None, ("pareto", kind, archive))), title, caption, chart))
    return drawn


def scene_details(folder: Folder, runs: Sequence[Run]) -> list[Detail]:
    """The confusion matrices by split (the paper's Figures 4 and 5), then the tables by class of every network."""
    members = [row for row in shown(runs) if row.protocol == "scene"]
    by_split: dict[tuple[str, str], list[Row]] = {}
    for row in members:
        by_split.setdefault((row.dataset, row.split), []).append(row)
        folder.table(row_tables.confusion_table(row))
    details = []
    places = naming.titles_apart([words.place(own[0]) for own in by_split.values()], [o[0] for o in by_split.values()])
    number = {"test_a": "as in the paper's Figure 4", "test_b": "as in the paper's Figure 5"}
    for ((dataset, split), rows), where in zip(by_split.items(), places, strict=True):
        title = f"Confusion matrices, {where}"
        if dataset.startswith("mtsccd") and split in number:
            title += f", {number[split]}"
        details.append(Detail(title, [_scene_confusion(folder, row, rows) for row in rows]))
    tables = [folder.table(row_tables.class_table(row)) for row in members]
    return [*details, Detail("Precision, recall and F1 of every class", [], tables)] if tables else details


def _scene_confusion(folder: Folder, row: Row, among: Sequence[Row]) -> Drawn:
    """The confusion matrix of a scene row among others, its classes in the order of the paper's figures."""
    order = words.figure_order(row.class_names)
    names = words.short_class_names([row.class_names[i] for i in order])
    counts = np.asarray(row.confusion)[np.ix_(order, order)]
    where = words.split_name(row.split, row.dataset)
    chart = figures.confusion(counts, names, f"Confusion matrix of scene classes by {words.network(row)} on {where}")
    name = f"confusion_scene_{row.split}_{row.id}"
    return folder.draw(name, who(row, among), "Rows are the truth and sum to 100 %.", chart, wide=len(names) > 12)


def change_details(folder: Folder, runs: Sequence[Run]) -> list[Detail]:
    """The distances, threshold curves and confusion matrices of every network and seed."""
    details = []
    drawable = {row.id for row in shown(runs)}
    for run in runs:
        for seed in run.seeds:
            members = [r for r in run.rows if r.seed == seed and r.protocol in CHANGE and r.id in drawable]
            drawn: list[Drawn] = []
            for row in members:
                drawn += _change_figures(folder, row)
                folder.table(row_tables.confusion_table(row))
            if members:
                details.append(Detail(f"{run.network}, recipe {run.name}, seed {seed}", drawn))
    return details


def _change_figures(folder: Folder, row: Row) -> list[Drawn]:
    """The distances, the threshold curves and the confusion matrix of a change row."""
    where, method = words.split_name(row.split, row.dataset), words.method_name(row.protocol)
    drawn = _distance_figures(folder, row, where) if row.threshold_from else []
    chart = figures.confusion(
        np.asarray(row.confusion), row.class_names, f"Confusion matrix of changed and unchanged by {method} on {where}"
    )
    name = f"confusion_{row.protocol}_{row.split}_{row.id}"
    return [*drawn, folder.draw(name, f"{method} confusion, {where}", "Rows are the truth.", chart)]


def _distance_figures(folder: Folder, row: Row, where: str) -> list[Drawn]:
    """The histogram of distances and the metrics against the threshold of a row that has one."""
    method = words.method_name(row.protocol)
    titles = f"{method} distances, {where}", f"{method}, choice of threshold, {where}"
    test = folder.artefact(row, "predictions", ("distance", "changed"))
    if isinstance(test, str):
        return [Drawn(title, missing=test) for title in titles]
    label = words.distance_label(row)
    changed, distance = test["changed"].astype(bool), test["distance"].astype(np.float64)
    alt = f"Histogram of distances on {where}; threshold {words.threshold_text(row)}"
    chart = figures.distance_histogram(distance, changed, row.threshold, label, alt)
    name = f"{row.protocol}_{row.split}_{row.id}"
    drawn = [folder.draw(f"distances_{name}", titles[0], "", chart)]
    validation = None
    note = ""
    if row.threshold_from == "validation":
        arrays = folder.artefact(row, "validation", ("distance", "changed"))
        if isinstance(arrays, str):
            note = f"No validation curves: {arrays}"
        else:
            validation = curve(arrays["distance"], arrays["changed"])
    chart = figures.threshold_curves(
        curve(distance, changed),
        validation,
        row.threshold,
        (row.baseline or {}).get("oa"),
        "learned distance" if row.protocol == "sscd" else "feature distance",
        f"Overall accuracy, kappa and F1 against the threshold on {where}",
    )
    return [*drawn, folder.draw(f"thresholds_{name}", titles[1], note, chart)]


def curve(distance_n: np.ndarray, changed_n: np.ndarray) -> Curve:
    """The metrics at up to `drawing.MAX_POINTS` thresholds, descending, of distances (n,) and what changed (n,)."""
    from mtsccd_jax.ops.metrics import binary_metrics
    from mtsccd_jax.ops.threshold import threshold_curve
    from mtsccd_jax.report.drawing import MAX_POINTS

    columns = [np.asarray(column) for column in threshold_curve(distance_n, np.asarray(changed_n).astype(bool))]
    finite = np.flatnonzero(np.isfinite(columns[0]))
    if len(finite) > MAX_POINTS:
        finite = finite[np.linspace(0, len(finite) - 1, MAX_POINTS).round().astype(np.int64)]
    threshold, *counts = (column[finite] for column in columns)
    metrics = [binary_metrics(np.array(confusion)) for confusion in zip(*counts, strict=True)]
    return Curve(threshold, *(np.array([m[name] for m in metrics]) for name in ("oa", "kappa", "f1")))


def validation_metric(folder: Folder) -> Callable[[Row], float | None]:
    """A function that gives a row's kappa on the pairs that its threshold was chosen on, where that is known."""

    def kappa(row: Row) -> float | None:
        from mtsccd_jax.ops.metrics import binary_metrics

        arrays = folder.artefact(row, "validation", ("distance", "changed"))
        if isinstance(arrays, str):
            return None
        changed = arrays["changed"].astype(bool)
        called = arrays["distance"] >= (np.inf if row.threshold is None else row.threshold)
        counts = [((changed == truth) & (called == said)).sum() for truth in (False, True) for said in (False, True)]
        return binary_metrics(np.array(counts))["kappa"]

    return kappa


def scene_sheet(folder: Folder, scene_rows: Sequence[Row]) -> dict[str, Any]:
    """The scenes of every class, one sheet a split, and the PNG of all of them beside the page."""
    found, missing = [], []
    # Test cities are the same scenes in both configurations of MtSCCD: one sheet a split is enough.
    sources = [(row.dataset.partition("/")[0], row.split) for row in scene_rows]
    for source in dict.fromkeys(sources):
        row = scene_rows[sources.index(source)]
        arrays = folder.artefact(row, "scenes", ("thumb", "label", "city", "phase", "class_names", "city_names"))
        if isinstance(arrays, str):
            missing.append(f"{words.split_name(row.split, row.dataset)}: {arrays}")
        else:
            found.append(arrays)
    classes = sheets.scene_classes(found)
    if classes:
        write_bytes(folder.out_dir / "figures" / "scenes.png", sheets.scene_sheet(classes))
    return {"classes": classes, "missing": missing, "columns": max((len(c.scenes) for c in classes), default=1)}


def training_figures(folder: Folder, runs: Sequence[Run]) -> tuple[list[Drawn], dict[tuple[str, int], float]]:
    """(loss and throughput of every trained network, its median images/s by recipe and seed where known)."""
    drawn: list[Drawn] = []
    speeds: dict[tuple[str, int], float] = {}
    trained = [(run, seed) for run in runs for seed in run.seeds]
    names = naming.rows_apart([next(row for row in run.rows if row.seed == seed) for run, seed in trained])
    for (run, seed), which in zip(trained, names, strict=True):
        # The training history grows until training ends: the newest row has the whole of it.
        row = next((r for r in reversed(run.rows) if r.seed == seed and "training" in r.artefacts), run.rows[0])
        arrays = folder.artefact(row, "training", ("step", "loss"))
        if isinstance(arrays, str):
            drawn.append(Drawn(f"Training, {which}", missing=arrays))
            continue
        name = f"{run.name}_{run.model}_seed{seed}".replace(" ", "_").replace("/", "_")
        if not len(arrays["step"]):
            drawn.append(Drawn(f"Training, {which}", missing="The training history is empty."))
            continue
        chart = figures.loss_curve(
            arrays["step"], arrays["loss"], arrays.get("learning_rate"), f"Training loss of {which} by step"
        )
        drawn.append(folder.draw(f"loss_{name}", f"Loss, {which}", "", chart))
        rate = arrays.get("images_per_s", np.array([]))
        known = np.isfinite(rate)
        if known.any():
            speeds[run.name, seed] = float(np.median(rate[known]))
            chart = figures.throughput(arrays["step"][known], rate[known], f"Training throughput of {which} by step")
            drawn.append(folder.draw(f"throughput_{name}", f"Throughput, {which}", "", chart))
    return drawn, speeds


def who(row: Row, among: Sequence[Row]) -> str:
    """The network, and the method of a change row, in words that tell it from the other rows."""
    network = f"{naming.network_among(row, among)}, seed {row.seed}"
    return f"{words.method_name(row.protocol)}, {network}" if row.protocol in CHANGE else network
