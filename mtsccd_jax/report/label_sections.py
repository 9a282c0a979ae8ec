"""The parts of the page on several labels an image and on searches: charts, example images, hits."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.report import figures, label_results, label_sheets, label_tables, naming, sections, sheets, words
from mtsccd_jax.report.figures import Estimate
from mtsccd_jax.report.folder import Detail, Drawn, Folder, write_bytes
from mtsccd_jax.report.label_sheets import Labelled, Said
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.sheets import Search
from mtsccd_jax.report.words import Run

# What the charts of rows show of each protocol: (metric, what it is, axis).
_CHARTS = {
    "multilabel": (
        ("ap_macro", "average precision, mean of labels", "AP macro (0 to 1)"),
        ("f1_macro", "F1, mean of labels", "F1 macro (0 to 1)"),
        ("f1_micro", "F1 over all decisions", "F1 micro (0 to 1)"),
        ("f1_samples", "F1, mean of images", "F1 samples (0 to 1)"),
    ),
    "retrieval": (
        ("map", "mean average precision", "mAP (0 to 1)"),
        ("anmrr", "rank of what is relevant", "ANMRR (0 to 1, low is good)"),
    ),
}
# Characters of a label beside a chart's axis.
_NAME_LENGTH = 30
_PREDICTIONS = ("label", "probability", "called", "filename")
_HITS = (
    "thumb_query",
    "name_query",
    "label_query",
    "thumb_hit",
    "name_hit",
    "label_hit",
    "relevant_hit",
    "distance_hit",
)


@dataclass(frozen=True)
class Examples:
    """Images of one split with their labels and those that each row says; why some rows are not shown.

    Attributes:
        title: Of the split.
        images: The images.
        missing: Sentences.
    """

    title: str
    images: tuple[Labelled, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Searches:
    """Queries of one row with their first hits, or why there are none to show."""

    title: str
    searches: tuple[Search, ...]
    missing: str = ""


def overview(folder: Folder, runs: Sequence[Run], protocol: str) -> list[Drawn]:
    """The charts that set the rows of each data set beside the trivial predictor and the published values."""
    groups: dict[str, list[Row]] = {}
    for row in sections.shown(runs):
        if row.protocol == protocol:
            groups.setdefault(row.dataset.partition("/")[0], []).append(row)
    drawn = []
    for dataset, members in groups.items():
        for metric, what, axis in _CHARTS[protocol]:
            estimates = _estimates(members, metric)
            if estimates:
                alt = ", ".join(f"{e.label}: {e.value:.3f}" for e in estimates)
                chart = figures.intervals(estimates, axis, alt, source="published")
                title = f"{words.data_name(dataset)}: {what}"
                drawn.append(folder.draw(f"{protocol}_{dataset.replace(':', '_')}_{metric}", title, "", chart))
    return drawn


def _estimates(members: Sequence[Row], metric: str) -> list[Estimate]:
    """One line a row, whose label says what tells it from the others."""
    found = []
    for row, label in zip(members, naming.rows_apart(members), strict=True):
        entry = row.metrics.get(metric)
        if entry and entry["value"] is not None:
            paper = ((row.published or {}).get("metrics") or {}).get(metric)
            trivial = (row.baseline or {}).get(metric)
            found.append(Estimate(label, entry["value"], entry["low"], entry["high"], trivial, paper))
    return found


def label_details(folder: Folder, runs: Sequence[Run]) -> list[Detail]:
    """Average precision and F1 of every label: a chart and a table a row, by data set and split."""
    by_split: dict[tuple[str, int], list[Row]] = {}
    for row in sections.shown(runs):
        if row.protocol == "multilabel":
            by_split.setdefault((words.place(row), row.n), []).append(row)
    details = []
    titles = naming.titles_apart([place for place, _ in by_split], [members[0] for members in by_split.values()])
    for title, members in zip(titles, by_split.values(), strict=True):
        drawn, tables = [], []
        for row, who in zip(members, naming.rows_apart(members), strict=True):
            arrays = folder.artefact(row, "predictions", _PREDICTIONS)
            if isinstance(arrays, str):
                drawn.append(Drawn(who, missing=arrays))
                continue
            values = label_tables.by_label(arrays["label"], arrays["probability"], arrays["called"])
            names = short_names(row.class_names)
            alt = f"Average precision and F1 of every label by {who} on {title}"
            chart = figures.by_label(names, values["ap"], values["f1"], values["share"], alt)
            caption = "By falling share of the images, which is what scores that say nothing reach."
            drawn.append(folder.draw(f"by_label_{row.split}_{row.id}", who, caption, chart))
            tables.append(folder.table(label_tables.labels_of_row_table(row, values, who)))
        details.append(Detail(f"Every label, {title}", drawn, tables))
    return details


def short_names(names: Sequence[str]) -> list[str]:
    """Labels of at most 30 characters, all different: cut, and where that makes two alike, with their number."""
    titles = [words.class_name(name) for name in names]
    short = [t if len(t) <= _NAME_LENGTH else f"{t[: _NAME_LENGTH - 1].rstrip()}…" for t in titles]
    return [s if short.count(s) == 1 else f"{i + 1} {s[: _NAME_LENGTH - 4]}…" for i, s in enumerate(short)]


def label_examples(folder: Folder, runs: Sequence[Run]) -> list[Examples]:
    """Images of every split with their true labels and those of each row (Table 3 of the BigEarthNet v1 paper).

    Rows stand together that judged the same images by the same labels, whatever bands they saw; of repetitions the
    lowest seed's. The pictures are those of the first row that saw visible light.
    """
    groups: dict[tuple[str, ...], list[tuple[Row, dict[str, np.ndarray]]]] = {}
    missing: dict[str, list[str]] = {}
    for run in runs:
        for repeats in run.repeats:
            if (row := repeats[0]).protocol != "multilabel":
                continue
            predictions = folder.artefact(row, "predictions", _PREDICTIONS)
            if isinstance(predictions, str):
                missing.setdefault(words.place(row), []).append(f"{words.network(row)}: {predictions}")
            else:
                names, label = np.asarray(predictions["filename"]).astype(str), predictions["label"]
                digest = hashlib.sha256(names.tobytes() + b"\0" + label.astype(np.uint8).tobytes()).hexdigest()
                groups.setdefault((words.place(row), digest), []).append((row, predictions))
    titles = naming.titles_apart([place for place, _ in groups], [group[0][0] for group in groups.values()])
    shown = [
        _examples(folder, title, group, missing.pop(place, []))
        for title, (place, _), group in zip(titles, groups, groups.values(), strict=True)
    ]
    return shown + [Examples(title, (), tuple(reasons)) for title, reasons in missing.items()]


def _examples(
    folder: Folder, title: str, group: Sequence[tuple[Row, dict[str, np.ndarray]]], missing: Sequence[str]
) -> Examples:
    """The example images of rows on the same images, with each row's predictions."""
    members, reasons = [row for row, _ in group], list(missing)
    visible = [row for row in members if not (seen := label_results.channels(words.bands(row))) or "B04" in seen]
    for row in dict.fromkeys(row.id for row in (*visible, *members)):
        anchor, predictions = next(pair for pair in group if pair[0].id == row)
        patches = folder.artefact(anchor, "patches", ("thumb", "row", "class_names"))
        if not isinstance(patches, str):
            break
        reasons.append(f"{words.network(anchor)}: {patches}")
    else:
        return Examples(title, (), tuple(reasons))
    classes = [words.class_name(str(name)) for name in patches["class_names"]]
    said = list(zip(naming.rows_apart(members), (arrays["called"].astype(bool) for _, arrays in group), strict=True))
    images = tuple(
        label_sheets.labelled(
            thumb,
            str(predictions["filename"][place]),
            classes,
            predictions["label"][place].astype(bool),
            [Said(name, called[place]) for name, called in said],
        )
        for thumb, place in zip(patches["thumb"], patches["row"], strict=True)
    )
    png = label_sheets.label_sheet(images)
    write_bytes(folder.out_dir / "figures" / f"labels_{anchor.split}_{anchor.id}.png", png)
    return Examples(title, images, tuple(reasons))


def searches(folder: Folder, runs: Sequence[Run]) -> list[Searches]:
    """The queries of every search with their first hits; of repetitions the lowest seed's."""
    members = [repeats[0] for run in runs for repeats in run.repeats if repeats[0].protocol == "retrieval"]
    names: dict[str, str] = {}
    for place in dict.fromkeys(map(words.place, members)):
        own = [row for row in members if words.place(row) == place]
        names |= dict(zip((row.id for row in own), naming.rows_apart(own), strict=True))
    found = []
    for row in members:
        title = f"{words.place(row)}, {names[row.id]}"
        hits = folder.artefact(row, "hits", _HITS)
        if isinstance(hits, str):
            found.append(Searches(title, (), hits))
            continue
        shown = tuple(_search(hits, query) for query in range(len(hits["name_query"])))
        write_bytes(folder.out_dir / "figures" / f"hits_{row.split}_{row.id}.png", sheets.search_sheet(shown))
        found.append(Searches(title, shown))
    return found


def _search(hits: dict[str, np.ndarray], query: int) -> Search:
    """One query of a `hits` artefact with its hits; where a list ended early there are fewer."""
    there = [place for place, name in enumerate(hits["name_hit"][query]) if str(name)]
    return Search(
        sheets.Seen(
            np.asarray(hits["thumb_query"][query], np.uint8), words.class_name(str(hits["label_query"][query]))
        ),
        tuple(
            sheets.Seen(
                np.asarray(hits["thumb_hit"][query, place], np.uint8),
                words.class_name(str(hits["label_hit"][query, place])),
                float(hits["distance_hit"][query, place]),
                bool(hits["relevant_hit"][query, place]),
            )
            for place in there
        ),
    )
