"""Charts of results, each a function of arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.report.pictures import chart_style
from mtsccd_jax.report.pictures.chart_style import BLUE, GREEN, HEIGHT_IN, INK, MUTED, RULE, VERMILION, WIDTH_IN, Chart

# Characters of a line of a row's name in a chart, and lines of it.
_LINE_LENGTH = 26
_LINES = 3


@dataclass(frozen=True)
class Estimate:
    """One line of `intervals`: a value with its 95 % interval, beside the trivial and the published value."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    trivial: float | None = None
    published: float | None = None
    possible: bool = True  # whether the published value can exist


@dataclass(frozen=True)
class Speed:
    """One network: its throughput and what it reaches; networks of one kind share a marker."""

    images_per_s: float
    value: float
    label: str
    kind: str = ""


def intervals(estimates: Sequence[Estimate], axis_label: str, alt: str, *, source: str = "paper") -> Chart:
    """Draw values with their 95 % intervals, one line each, beside trivial values and those of `source`."""
    labels = [chart_style.wrapped(e.label, _LINE_LENGTH, _LINES) for e in estimates]
    lines = max((label.count("\n") + 1 for label in labels), default=1)
    with chart_style.figure(WIDTH_IN, 1.05 + (0.16 + 0.14 * lines) * len(estimates)) as (figure, axes):
        y = np.arange(len(estimates))[::-1]
        for position, e in zip(y, estimates, strict=True):
            if e.low is not None and e.high is not None:
                axes.plot([e.low, e.high], [position] * 2, color=BLUE, linewidth=2.2)
        axes.plot([e.value for e in estimates], y, "o", color=BLUE, markersize=6, label="this run, 95 % interval")
        chart_style.marks(
            axes, [(e.trivial, p) for e, p in zip(estimates, y, strict=True)], "|", MUTED, "trivial predictor", 11
        )
        published = [(e.published, p, e.possible) for e, p in zip(estimates, y, strict=True)]
        chart_style.marks(
            axes, [(v, p) for v, p, possible in published if possible], "D", VERMILION, source, 5.5, hollow=True
        )
        impossible = [(v, p) for v, p, possible in published if not possible]
        chart_style.marks(axes, impossible, "x", VERMILION, f"{source}, impossible value", 6.5)
        axes.locator_params(axis="x", nbins=6)
        axes.set_yticks(y, labels)
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9.0 if lines > 1 else 10.0)
        axes.grid(visible=False, axis="y")
        axes.set_ylim(-0.6, len(estimates) - 0.4)
        axes.set_xlabel(axis_label)
        axes.spines["left"].set_visible(False)
        chart_style.legend_below(figure, axes, columns=2)
        return chart_style.chart(figure, alt)


def confusion(
    counts: np.ndarray,
    class_names: Sequence[str],
    alt: str,
    *,
    across: str = "predicted, % of the true class",
    down: str = "truth, with number of examples",
) -> Chart:
    """Draw integer counts (k, k), rows are the truth, in per cent of each row; its total stands beside its name."""
    counts = np.asarray(counts, dtype=np.int64)
    k = len(class_names)
    total_k = counts.sum(axis=1)
    share_kk = counts / np.maximum(total_k, 1)[:, None]
    with chart_style.figure(WIDTH_IN, 0.94 * WIDTH_IN if k > 4 else HEIGHT_IN) as (figure, axes):
        from matplotlib.collections import PatchCollection
        from matplotlib.colors import to_rgba
        from matplotlib.patches import Rectangle

        cells, fills = [], []
        for i in range(k):
            for j in range(k):
                # At most 0.55, so that the text stays readable on the fill in both themes.
                if counts[i, j]:
                    cells.append(Rectangle((j - 0.5, i - 0.5), 1, 1))
                    fills.append(to_rgba(BLUE, 0.05 + 0.5 * share_kk[i, j]))
                    percent = 100 * share_kk[i, j]
                    text = f"{percent:.0f}" if percent >= 0.5 else "<1"
                    if k <= 4:
                        text = f"{percent:.1f} %\n{counts[i, j]:,}"
                    weight = "bold" if i == j else "normal"
                    color = INK if percent >= 0.5 else MUTED
                    written = axes.text(j, i, text, ha="center", va="center", weight=weight, color=color, fontsize=10.0)
                    written.set_in_layout(False)  # it lies in the axes; measuring every text takes as long as drawing
        # All cells, and then all lines, as one: a matplotlib object for each takes longer than drawing it.
        filled = PatchCollection(cells, facecolors=fills, edgecolors="none", clip_on=False)
        filled.set_in_layout(False)
        axes.add_collection(filled, autolim=False)
        axes.set_xlim(-0.5, k - 0.5)
        axes.set_ylim(k - 0.5, -0.5)
        axes.set_aspect("auto" if k <= 4 else "equal")
        axes.set_xticks(range(k), class_names)
        separator = "  " if k > 4 else "\n"
        axes.set_yticks(range(k), [f"{c}{separator}{n:,}" for c, n in zip(class_names, total_k, strict=True)])
        axes.tick_params(length=0, labelcolor=INK)
        if k > 4 and max(map(len, class_names)) > 4:
            axes.tick_params(axis="x", labelrotation=60)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        # Lines between the cells, drawn over the fills.
        edges = np.arange(-0.5, k)
        axes.hlines(edges, edges[0], edges[-1], color=RULE, linewidth=0.6)
        axes.vlines(edges, edges[0], edges[-1], color=RULE, linewidth=0.6)
        axes.set_xlabel(across)
        axes.set_ylabel(down)
        return chart_style.chart(figure, alt)


def loss_curve(step_n: np.ndarray, loss_n: np.ndarray, learning_rate_n: np.ndarray | None, alt: str) -> Chart:
    """Draw the training loss against the step, as recorded and smoothed, above the learning rate."""
    panels = 1 if learning_rate_n is None else 2
    with chart_style.figure(WIDTH_IN, HEIGHT_IN, panels=panels, heights=(3.0, 1.0)) as (figure, *axes):
        x, y = chart_style.thinned(step_n, loss_n)
        axes[0].plot(x, y, color=BLUE, alpha=0.35, linewidth=1, label="as recorded")
        window = max(1, len(loss_n) // 25)
        if window > 1:
            x, y = chart_style.thinned(step_n, chart_style.running_mean(loss_n, window))
            axes[0].plot(x, y, color=BLUE, linewidth=2, label=f"mean of the last {window}")
            axes[0].legend(loc="upper right")
        axes[0].set_ylabel("training loss (nats)")
        if learning_rate_n is not None:
            x, y = chart_style.thinned(step_n, learning_rate_n)
            axes[1].plot(x, y, color=MUTED, linewidth=1.4)
            axes[1].set_ylabel("learning\nrate")
            axes[1].set_ylim(bottom=0)
        axes[-1].set_xlabel("training step")
        return chart_style.chart(figure, alt)


def throughput(step_n: np.ndarray, images_per_s_n: np.ndarray, alt: str) -> Chart:
    """Draw the training throughput against the step, with its median."""
    median = float(np.median(images_per_s_n))
    with chart_style.figure(WIDTH_IN, HEIGHT_IN) as (figure, axes):
        x, y = chart_style.thinned(step_n, images_per_s_n)
        axes.plot(x, y, color=GREEN, linewidth=1.2, label="as recorded")
        axes.axhline(median, color=MUTED, linewidth=1, linestyle=(0, (6, 3)), label=f"median {median:,.0f}")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("training step")
        axes.set_ylabel("training throughput, images/s")
        chart_style.legend_below(figure, axes, columns=2)
        return chart_style.chart(figure, alt)


def pareto(speeds: Sequence[Speed], axis_label: str, alt: str) -> Chart:
    """Draw what networks reach against their throughput, with a line through those that none beats in both."""
    with chart_style.figure(WIDTH_IN, HEIGHT_IN + 0.9) as (figure, axes):
        from adjustText import adjust_text
        from matplotlib.ticker import LogLocator, NullLocator

        kinds = list(dict.fromkeys(speed.kind for speed in speeds))
        for index, kind in enumerate(kinds):
            own = [speed for speed in speeds if speed.kind == kind]
            x, y = [speed.images_per_s for speed in own], [speed.value for speed in own]
            color, marker = (BLUE, VERMILION, GREEN, MUTED)[index % 4], "oDs^"[index % 4]
            axes.plot(x, y, marker, color=color, markersize=5.5, alpha=0.9, label=kind or "network", zorder=4)
        front = frontier(speeds)
        x, y = [speed.images_per_s for speed in front], [speed.value for speed in front]
        axes.step(x, y, where="pre", color=INK, linewidth=1, linestyle=(0, (4, 2)), label="none is better in both")
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.margins(x=0.14, y=0.12)
        names = [
            axes.text(
                speed.images_per_s, speed.value, chart_style.wrapped(speed.label, _LINE_LENGTH, _LINES), fontsize=9.0
            )
            for speed in front
        ]
        for name in names:
            name.set_bbox({"facecolor": chart_style.SURFACE, "edgecolor": "none", "alpha": 0.8, "pad": 0.5})
            name.set_in_layout(False)  # it is moved into the axes and must not shrink them
        axes.set_xlabel("images/s of this evaluation")
        axes.set_ylabel(axis_label)
        chart_style.legend_below(figure, axes, columns=2)
        everything = [speed.images_per_s for speed in speeds], [speed.value for speed in speeds]
        chart_style.make_readable(figure)
        adjust_text(names, *everything, ax=axes, expand=(1.1, 1.6), arrowprops={"arrowstyle": "-", "color": MUTED})
        return chart_style.chart(figure, alt)


def frontier(speeds: Sequence[Speed]) -> list[Speed]:
    """Return those that no other beats in both throughput and value, by rising throughput."""
    front: list[Speed] = []
    for speed in sorted(speeds, key=lambda s: (-s.images_per_s, -s.value)):
        if not front or speed.value > front[-1].value:
            front.append(speed)
    return front[::-1]
