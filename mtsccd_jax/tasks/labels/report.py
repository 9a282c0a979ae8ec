"""The page on several labels an image: published values, results, every label, and example images."""

from collections.abc import Iterator, Sequence

import numpy as np

from mtsccd_jax.report import comparable, results, text
from mtsccd_jax.report.pictures import chart_style
from mtsccd_jax.report.pictures.chart_style import BLUE, INK, MUTED, VERMILION, WIDTH_IN, Chart
from mtsccd_jax.report.published.labels import source_of
from mtsccd_jax.report.rows import Row
from mtsccd_jax.report.runs import Run, rows_of, shown
from mtsccd_jax.report.sections import Block, Figure, Fold, Place, Protocol, Section, TaskReport
from mtsccd_jax.report.summary import beside_trivial, estimate
from mtsccd_jax.report.tables import Table
from mtsccd_jax.report.unique_names import titles_apart
from mtsccd_jax.report.writer import Writer
from mtsccd_jax.tasks.labels.definitions import DEFINITIONS
from mtsccd_jax.tasks.labels.differences import label_contests, label_tables
from mtsccd_jax.tasks.labels.examples import PREDICTIONS, example_blocks, label_examples
from mtsccd_jax.tasks.labels.tables import by_label, label_table, labels_of_row_table, names_apart, published_tables

# (metric, what it is, axis) of the charts of rows.
_CHARTS = (
    ("ap_macro", "average precision, mean of labels", "AP macro (0 to 1)"),
    ("f1_macro", "F1, mean of labels", "F1 macro (0 to 1)"),
    ("f1_micro", "F1 over all decisions", "F1 micro (0 to 1)"),
    ("f1_samples", "F1, mean of images", "F1 samples (0 to 1)"),
)
_FOOTER = "A label is predicted present if and only if its probability is at least its threshold."
# Characters of a label beside the axis of a chart.
_NAME_LENGTH = 30


def sentence(rows: Sequence[Row]) -> str:
    """Say what repetitions of one row show."""
    row, (value, spread) = rows[0], estimate(rows, "ap_macro")
    labels = f"mean of {len(row.class_names)} labels"
    said = f"{text.place(row)}: average precision {text.number(value)}, {labels} ({spread})"
    if text.value_of(row, "f1_macro") is not None and text.value_of(row, "f1_micro") is not None:
        macro, micro = (text.number(estimate(rows, metric)[0]) for metric in ("f1_macro", "f1_micro"))
        said += f"; F1 {macro}, mean of labels, and {micro} over all decisions"
    trivial = beside_trivial(rows, "ap_macro", "Scoring every label by its share of the images would give")
    return f"{said}; {row.n:,} images.{trivial}"


def label_section(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield published values beside ours, every row, charts of them, every label, and example images."""
    blocks: list[Block] = []
    footer = [_FOOTER]
    for source, table in published_tables(runs):
        note = orientation_note([row for row in rows_of(runs, ["multilabel"]) if text.archive(row) == source.dataset])
        blocks += [Block("heading", source.title), *([Block("note", note)] if note else [])]
        blocks.append(Block("tables", [writer.table(table)], "results paper"))
        footer.append(f"{source.name}.")
    members = shown(runs, ["multilabel"])
    blocks += [
        Block("heading", "Every row"),
        Block("long tables", [writer.table(label_table(runs))], "results"),
        Block("figures", results.charts_by_archive(writer, members, _CHARTS, "multilabel", names_apart)),
        Block("details", label_folds(writer, members), "first open"),
        *example_blocks(label_examples(writer, runs)),
    ]
    yield Section("labels", "Labels", Place.RESULTS, blocks, "Labels", footer=footer)


def speed_section(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield average precision against throughput on each data set."""
    rows = rows_of(runs, ["multilabel"])
    for archive in dict.fromkeys(map(text.archive, shown(runs, ["multilabel"]))):
        own, name = [row for row in rows if text.archive(row) == archive], text.data_name(archive)
        drawn = results.pareto(writer, runs, own, f"labels_{archive}", name, "ap_macro", "average precision")
        yield results.speed_section(drawn)


def differences(writer: Writer, runs: Sequence[Run]) -> Iterator[Section]:
    """Yield which differences between networks hold."""
    yield comparable.differences_section(writer, label_contests(writer, runs), label_tables)


def is_comparable(row: Row) -> bool:
    """Return whether the row is of as many real images as the published values.

    Where the published split is a random one, there may be one in a hundred more or fewer.
    """
    source, n = source_of(row.dataset), _published_images(row)
    if row.generated or source is None or n is None:
        return False
    return abs(row.n - n) <= (0 if source.exact else n // 100)


def orientation_note(rows: Sequence[Row]) -> str:
    """Say why published values are no comparison for these rows of one data set; empty where they are one."""
    others = [row for row in rows if row.published and not is_comparable(row)]
    if not others:
        return ""
    source = source_of(others[0].dataset)
    known = {n for row in others if (n := _published_images(row)) is not None}
    known = known or set(source.examples.values() if source else ())
    published, own = (" and ".join(f"{n:,}" for n in sorted(sizes)) for sizes in (known, {row.n for row in others}))
    return comparable.orientation_note(others, "The published values", f"test splits of {published} images", own)


def label_folds(writer: Writer, rows: Sequence[Row]) -> list[Fold]:
    """Return average precision and F1 of every label, a chart and a table a row, by data set and split."""
    by_split: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        by_split.setdefault((text.place(row), row.n), []).append(row)
    titles = titles_apart([place for place, _ in by_split], [members[0] for members in by_split.values()])
    folds = []
    for title, members in zip(titles, by_split.values(), strict=True):
        drawn: list[Figure] = []
        tables: list[Table] = []
        for row, who in zip(members, names_apart(members), strict=True):
            arrays = writer.artefact(row, "predictions", PREDICTIONS)
            if isinstance(arrays, str):
                drawn.append(Figure(who, missing=arrays))
                continue
            values = by_label(arrays["label"], arrays["probability"], arrays["called"])
            alt = f"Average precision and F1 of every label by {who} on {title}"
            chart = label_chart(short_names(row.class_names), values["ap"], values["f1"], values["share"], alt)
            caption = "By falling share of the images, which is what scores that say nothing reach."
            drawn.append(writer.draw(f"by_label_{row.split}_{row.id}", who, caption, chart))
            tables.append(writer.table(labels_of_row_table(row, values, who)))
        blocks = [Block("figures", drawn, "large"), Block("columns", tables)]
        folds.append(Fold(f"Every label, {title}", blocks))
    return folds


def label_chart(names: Sequence[str], ap_k: np.ndarray, f1_k: np.ndarray, share_k: np.ndarray, alt: str) -> Chart:
    """Draw average precision and F1 of every label beside its share of the images, the most frequent label above."""
    order = np.argsort(-np.asarray(share_k), kind="stable")
    with chart_style.figure(WIDTH_IN, 1.0 + 0.235 * len(names)) as (figure, axes):
        y = np.arange(len(names))[::-1]
        for position, label in zip(y, order, strict=True):
            axes.plot([share_k[label], ap_k[label]], [position] * 2, color=BLUE, linewidth=1.4, alpha=0.45)
        axes.plot(np.asarray(share_k)[order], y, "|", color=MUTED, markersize=9, markeredgewidth=1.6, label="share")
        axes.plot(
            np.asarray(f1_k)[order],
            y,
            "D",
            color=VERMILION,
            markerfacecolor=chart_style.SURFACE,
            markersize=4.5,
            markeredgewidth=1.4,
            label="F1",
        )
        axes.plot(np.asarray(ap_k)[order], y, "o", color=BLUE, markersize=5, label="average precision")
        axes.set_yticks(y, [names[label] for label in order])
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9.0)
        axes.grid(visible=False, axis="y")
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.set_xlabel("0 to 1")
        axes.spines["left"].set_visible(False)
        chart_style.legend_below(figure, axes, columns=3)
        return chart_style.chart(figure, alt)


def short_names(names: Sequence[str]) -> list[str]:
    """Return different labels of at most 30 characters; where cutting makes two alike, they get their number."""
    titles = [text.class_name(name) for name in names]
    short = [t if len(t) <= _NAME_LENGTH else f"{t[: _NAME_LENGTH - 1].rstrip()}…" for t in titles]
    return [s if short.count(s) == 1 else f"{i + 1} {s[: _NAME_LENGTH - 4]}…" for i, s in enumerate(short)]


def _published_images(row: Row) -> int | None:
    """Return the number of images of the published test split of this configuration, where it is known."""
    source = source_of(row.dataset)
    return source.examples.get(row.dataset.partition("/")[2]) if source else None


REPORT = TaskReport(
    subject="Images",
    topics=("labels",),
    protocols=(
        Protocol("multilabel", "Labels", "Labels, average precision", "ap_macro", sentence, row_settings="labels"),
    ),
    sections=(speed_section, differences, label_section),
    definitions=DEFINITIONS,
)
