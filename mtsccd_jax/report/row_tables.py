"""Tables of rows: every result with its interval, classes, confusions, and how fast it was made."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from mtsccd_jax.ops.metrics import precision_recall_f1
from mtsccd_jax.report import words
from mtsccd_jax.report.rows import CHANGE, Row
from mtsccd_jax.report.tables import Cell, Table
from mtsccd_jax.report.words import NOT_KNOWN, Run


def scene_table(runs: Sequence[Run]) -> Table:
    """Scene classification beside the paper's Table 6: a line a row, mean and standard deviation of repetitions."""
    columns = (
        ("Test set", False),
        ("Scenes", True),
        ("OA", True),
        ("Kappa", True),
        ("Balanced accuracy", True),
        ("Mean F1", True),
        ("Trivial OA", True),
        ("Paper's OA", True),
        ("Difference", True),
    )

    def cells(run: Run, row: Row) -> list[Cell]:
        paper = row.published or {}
        oa, paper_oa = words.value_of(row, "oa"), paper.get("oa")
        difference = oa - paper_oa if oa is not None and paper_oa is not None and words.comparable(row) else None
        return [
            Cell(words.short_split(row.split, row.dataset), small_print(run, row)),
            Cell(f"{row.n:,}"),
            *(metric_cell(row, name) for name in ("oa", "kappa", "balanced", "f1")),
            Cell(words.number((row.baseline or {}).get("oa"))),
            Cell(words.number(paper_oa), (paper["model"],) if paper else ()),
            Cell(NOT_KNOWN if difference is None else f"{difference:+.3f}".replace("-", "−")),
        ]

    caption = (
        "Scene classification. Intervals are 95 %, from re-drawn test scenes. "
        "Trivial: always naming the most frequent class. Paper: Table 6."
    )
    return result_table("scene", caption, columns, runs, ("scene",), cells, ("oa", "kappa", "balanced", "f1"))


def change_table(runs: Sequence[Run]) -> Table:
    """Change detection beside Table 7 of the paper, the trivial predictor and whether the paper's value can exist."""
    columns = (
        ("Method and test set", False),
        ("Pairs", True),
        ("OA", True),
        ("Kappa", True),
        ("F1", True),
        ("Precision", True),
        ("Recall", True),
        ("From-to", True),
        ("Threshold", True),
        ("OA of all unchanged", True),
        ("Paper's OA", True),
        ("Paper's kappa", True),
    )

    metrics = ("oa", "kappa", "f1", "precision", "recall", "transition")

    def cells(run: Run, row: Row) -> list[Cell]:
        paper = row.published or {}
        verdict, kind = ("possible", "") if paper.get("possible") else ("impossible", "bad")
        threshold = [words.threshold_text(row)]
        if row.threshold is not None and row.objective:
            threshold.append(f"best {words.METRICS.get(row.objective, row.objective).lower()}")
        if row.threshold_from:
            threshold.append({"validation": "on validation"}.get(row.threshold_from, "by cross-validation"))
        if paper.get("threshold") is not None:
            threshold.append(f"paper {words.number(paper['threshold'])}, on its own scale")
        where = words.short_split(row.split, row.dataset)
        return [
            Cell(f"{words.method_name(row.protocol)}, {where}", small_print(run, row)),
            Cell(f"{row.n:,}", (f"{sum(row.confusion[1]):,} changed",)),
            *(metric_cell(row, name) for name in metrics),
            Cell(threshold[0], tuple(threshold[1:])),
            Cell(words.number((row.baseline or {}).get("oa"))),
            Cell(words.number(paper.get("oa")), (paper["model"],) if paper else ()),
            Cell(words.number(paper.get("kappa")), (verdict,), kind) if paper else Cell(NOT_KNOWN),
        ]

    caption = (
        "Change detection. Intervals are 95 %, from re-drawn test pairs at the fixed threshold; the second, where "
        "there is one, re-chooses the threshold on re-drawn validation pairs as well. From-to: the share of the "
        "changed pairs whose classes at both dates are named rightly. Paper: Table 7."
    )
    table = result_table("change", caption, columns, runs, CHANGE, cells, metrics)
    return dataclasses.replace(table, footnotes=_impossible_values(runs))


def class_table(row: Row) -> Table:
    """Precision, recall and F1 of every class of a scene row."""
    precision_k, recall_k, f1_k = precision_recall_f1(np.asarray(row.confusion))
    shorts = words.short_class_names(row.class_names)
    rows, records = [], []
    for i, name in enumerate(row.class_names):
        values = [float(metric_k[i]) for metric_k in (precision_k, recall_k, f1_k)]
        n, title = sum(row.confusion[i]), words.class_name(name)
        cells = [Cell(title if shorts[i].lower() == title.lower() else f"{title} ({shorts[i]})"), Cell(f"{n:,}")]
        rows.append(cells + [Cell(words.number(value)) for value in values])
        records.append({"class": name, "n": n, **dict(zip(("precision", "recall", "f1"), values, strict=True))})
    columns = (("Class", False), ("Scenes", True), ("Precision", True), ("Recall", True), ("F1", True))
    where = words.split_name(row.split, row.dataset)
    return Table(f"classes_{row.split}_{row.id}", f"By class on {where}.", columns, rows, records)


def confusion_table(row: Row) -> Table:
    """The counts of a row's confusion matrix, rows are truth."""
    caption = (
        f"{words.method_name(row.protocol)} on {words.split_name(row.split, row.dataset)}: counts, rows are truth."
    )
    name = f"confusion_{row.protocol}_{row.split}_{row.id}"
    return count_table(name, caption, "Truth", np.asarray(row.confusion), row.class_names)


def count_table(name: str, caption: str, first: str, counts: np.ndarray, class_names: Sequence[str]) -> Table:
    """Counts (k, k) under the names of their classes; `first` says what the rows are."""
    shorts = words.short_class_names(class_names)
    rows = [[Cell(short), *(Cell(f"{c:,}") for c in line)] for short, line in zip(shorts, counts, strict=True)]
    records = [
        {first.lower().replace(" ", "_"): title, **dict(zip(class_names, map(int, line), strict=True))}
        for title, line in zip(class_names, counts, strict=True)
    ]
    return Table(name, caption, ((first, False), *((short, True) for short in shorts)), rows, records)


def throughput_table(runs: Sequence[Run], training: dict[tuple[str, int], float]) -> Table:
    """Images per second of training (median step) and of every evaluation.

    Args:
        runs: All runs.
        training: (recipe name, seed) -> median images/s of its training.
    """
    columns = (
        ("What", False),
        ("Images", True),
        ("Seconds", True),
        ("Images/s", True),
        ("On", False),
    )
    rows, records = [], []
    for run in runs:
        for seed in run.seeds:
            first = next(row for row in run.rows if row.seed == seed)
            if (rate := training.get((run.name, seed))) is not None:
                cells = [Cell("Training, median step", small_print(run, first)), Cell(NOT_KNOWN), Cell(NOT_KNOWN)]
                rows.append([*cells, Cell(f"{rate:,.0f}"), Cell(first.device)])
                records.append(_speed("training", first, None, None, rate))
        for row in run.rows:
            images = row.n * (2 if row.protocol in CHANGE else 1)
            seconds = row.times.get("seconds")
            seconds = float(seconds) if isinstance(seconds, int | float) else None
            what = f"{words.method_name(row.protocol)}, {words.short_split(row.split, row.dataset)}"
            rate_text = NOT_KNOWN if row.images_per_s is None else f"{row.images_per_s:,.0f}"
            cells = [
                Cell(what, small_print(run, row)),
                Cell(f"{images:,}"),
                Cell(words.number(seconds, 1)),
                Cell(rate_text),
            ]
            rows.append([*cells, Cell(row.device)])
            records.append(_speed(row.protocol, row, images, seconds, row.images_per_s))
    caption = "Throughput. An evaluation's seconds include reading, the network, metrics and the bootstrap."
    return Table("throughput", caption, columns, rows, records)


def result_table(
    name: str,
    caption: str,
    columns: tuple[tuple[str, bool], ...],
    runs: Sequence[Run],
    protocols: tuple[str, ...],
    cells: Any,
    metrics: tuple[str, ...],
) -> Table:
    """The rows of some protocols through `cells`, a line of mean and standard deviation after repeated seeds."""
    lines: list[list[Cell]] = []
    summaries: set[int] = set()
    records = []
    for run in runs:
        for repeats in run.repeats:
            if repeats[0].protocol not in protocols:
                continue
            lines += [cells(run, row) for row in repeats]
            records += [record_of(row) for row in repeats]
            if len(repeats) > 1:
                summaries.add(len(lines))
                lines.append(_summary(run, lines[-1], repeats, metrics))
    return Table(name, caption, columns, lines, records, summaries)


def _summary(run: Run, template: list[Cell], rows: Sequence[Row], metrics: tuple[str, ...]) -> list[Cell]:
    """The line of mean and standard deviation over repeated rows; metrics start in the third cell."""
    line = [Cell(template[0].text, (f"mean of {len(rows)} runs", run.name)), template[1]]
    for metric in metrics:
        values = [value for row in rows if (value := words.value_of(row, metric)) is not None]
        if not values:
            line.append(Cell(NOT_KNOWN))
            continue
        mean, deviation = words.mean_std(values)
        line.append(Cell(words.number(mean), (f"± {words.number(deviation)}",) if deviation is not None else ()))
    return line + [Cell("")] * (len(template) - len(line))


def _impossible_values(runs: Sequence[Run]) -> tuple[str, ...]:
    """Why each impossible value that the paper has for one of these rows cannot be, each once."""
    sentences = []
    for run in runs:
        for row in run.rows:
            paper = row.published or {}
            if paper and not paper.get("possible", True):
                where = (
                    f"{words.method_name(row.protocol)}, {paper['model']}, {words.short_split(row.split, row.dataset)}"
                )
                sentences.append(f"Paper, {where}: {paper.get('reason')}.")
    return tuple(dict.fromkeys(sentences))


def record_of(row: Row) -> dict[str, Any]:
    """The row as flat values."""
    record: dict[str, Any] = {
        "id": row.id,
        "recipe": words.recipe_name(row),
        "model": row.model,
        "seed": row.seed,
        "dataset": row.dataset,
        "protocol": row.protocol,
        "split": row.split,
        "n": row.n,
    }
    for name, entry in row.metrics.items():
        record |= {name: entry["value"], f"{name}_low": entry["low"], f"{name}_high": entry["high"]}
    for name, entry in (row.metrics_rechosen or {}).items():
        record |= {f"{name}_rechosen_low": entry["low"], f"{name}_rechosen_high": entry["high"]}
    baseline, paper = row.baseline or {}, row.published or {}
    record |= {"threshold": row.threshold, "objective": row.objective, "threshold_from": row.threshold_from}
    record |= {f"baseline_{key}": baseline.get(key) for key in baseline or ("name", "oa", "kappa")}
    record |= {f"published_{name}": value for name, value in (paper.get("metrics") or {}).items()}
    return record | {f"published_{key}": paper.get(key) for key in ("model", "oa", "kappa", "threshold", "possible")}


def small_print(run: Run, row: Row) -> tuple[str, ...]:
    """The network, its recipe and seed as small print."""
    return f"{words.network(row)}, seed\u00a0{row.seed}", run.name


def metric_cell(row: Row, name: str) -> Cell:
    """A metric with its interval beneath, and the interval of a re-chosen threshold where there is one."""
    entries = row.metrics.get(name), (row.metrics_rechosen or {}).get(name)
    notes = tuple(text for entry in entries if (text := words.interval(entry)))
    return Cell(words.number(words.value_of(row, name)), notes)


def _speed(
    what: str, row: Row, images: int | None, seconds: float | None, images_per_s: float | None
) -> dict[str, Any]:
    """One record of the throughput table."""
    return {
        "what": what,
        "split": row.split if what != "training" else "",
        "recipe": words.recipe_name(row),
        "model": row.model,
        "seed": row.seed,
        "images": images,
        "seconds": seconds,
        "images_per_s": images_per_s,
        "device": row.device,
    }
