"""Charts of results, each a function of arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.report import drawing
from mtsccd_jax.report.drawing import BLUE, GREEN, HEIGHT_IN, INK, MUTED, RULE, VERMILION, WIDTH_IN, Chart

# Characters of a line of a row's name in a chart, and lines of it.
_LINE_LENGTH = 26
_LINES = 3


@dataclass(frozen=True)
class Estimate:
    """One line of `intervals`: a value with what it is to be seen beside.

    Attributes:
        label: What was measured.
        value: Its value.
        low: Lower end of its 95 % interval, or None.
        high: Upper end, or None.
        trivial: What the trivial predictor scores, or None.
        published: The paper's value, or None.
        possible: Whether the paper's value can exist.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    trivial: float | None = None
    published: float | None = None
    possible: bool = True


@dataclass(frozen=True)
class Curve:
    """Metrics against the threshold on one split, all of shape (thresholds,)."""

    threshold: np.ndarray
    oa: np.ndarray
    kappa: np.ndarray
    f1: np.ndarray


@dataclass(frozen=True)
class Point:
    """One result in the plane of overall accuracy and kappa; results of one label share a marker."""

    oa: float
    kappa: float
    label: str = ""


@dataclass(frozen=True)
class Speed:
    """One network in the plane of throughput and what it reaches; those of one kind share a marker."""

    images_per_s: float
    value: float
    label: str
    kind: str = ""


def intervals(estimates: Sequence[Estimate], axis_label: str, alt: str, *, source: str = "paper") -> Chart:
    """The chart of values with their 95 % intervals, one line each, beside the trivial predictor's and the published.

    Args:
        estimates: From above.
        axis_label: What the values are.
        alt: What it shows, for those who cannot see it.
        source: What the published values are called.
    """
    labels = [drawing.wrapped(e.label, _LINE_LENGTH, _LINES) for e in estimates]
    lines = max((label.count("\n") + 1 for label in labels), default=1)
    with drawing.figure(WIDTH_IN, 1.05 + (0.16 + 0.14 * lines) * len(estimates)) as (figure, axes):
        y = np.arange(len(estimates))[::-1]
        for position, e in zip(y, estimates, strict=True):
            if e.low is not None and e.high is not None:
                axes.plot([e.low, e.high], [position] * 2, color=BLUE, linewidth=2.2)
        axes.plot([e.value for e in estimates], y, "o", color=BLUE, markersize=6, label="this run, 95 % interval")
        drawing.marks(
            axes, [(e.trivial, p) for e, p in zip(estimates, y, strict=True)], "|", MUTED, "trivial predictor", 11
        )
        published = [(e.published, p, e.possible) for e, p in zip(estimates, y, strict=True)]
        drawing.marks(
            axes, [(v, p) for v, p, possible in published if possible], "D", VERMILION, source, 5.5, hollow=True
        )
        impossible = [(v, p) for v, p, possible in published if not possible]
        drawing.marks(axes, impossible, "x", VERMILION, f"{source}, impossible value", 6.5)
        axes.locator_params(axis="x", nbins=6)
        axes.set_yticks(y, labels)
        axes.tick_params(axis="y", length=0, labelcolor=INK, labelsize=9.0 if lines > 1 else 10.0)
        axes.grid(visible=False, axis="y")
        axes.set_ylim(-0.6, len(estimates) - 0.4)
        axes.set_xlabel(axis_label)
        axes.spines["left"].set_visible(False)
        drawing.legend_below(figure, axes, columns=2)
        return drawing.chart(figure, alt)


def by_label(names: Sequence[str], ap_k: np.ndarray, f1_k: np.ndarray, share_k: np.ndarray, alt: str) -> Chart:
    """The chart of average precision and F1 of every label, the most frequent above, beside its share of the images.

    Args:
        names: Of the labels, short enough to stand beside the axis.
        ap_k: Average precision, (k,).
        f1_k: F1, (k,).
        share_k: Share of the images that have the label, (k,): the average precision of scores that say nothing.
        alt: What it shows, for those who cannot see it.
    """
    order = np.argsort(-np.asarray(share_k), kind="stable")
    with drawing.figure(WIDTH_IN, 1.0 + 0.235 * len(names)) as (figure, axes):
        y = np.arange(len(names))[::-1]
        for position, label in zip(y, order, strict=True):
            axes.plot([share_k[label], ap_k[label]], [position] * 2, color=BLUE, linewidth=1.4, alpha=0.45)
        axes.plot(np.asarray(share_k)[order], y, "|", color=MUTED, markersize=9, markeredgewidth=1.6, label="share")
        axes.plot(
            np.asarray(f1_k)[order],
            y,
            "D",
            color=VERMILION,
            markerfacecolor=drawing.SURFACE,
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
        drawing.legend_below(figure, axes, columns=3)
        return drawing.chart(figure, alt)


def confusion(
    counts: np.ndarray,
    class_names: Sequence[str],
    alt: str,
    *,
    across: str = "predicted, % of the true class",
    down: str = "truth, with number of examples",
) -> Chart:
    """The chart of counts (k, k) in per cent of each row, the row's count beside its name; rows are the truth.

    Args:
        counts: Integer counts (k, k).
        class_names: Names of rows and columns.
        alt: What it shows, for those who cannot see it.
        across: Label of the columns.
        down: Label of the rows.
    """
    counts = np.asarray(counts, dtype=np.int64)
    k = len(class_names)
    total_k = counts.sum(axis=1)
    share_kk = counts / np.maximum(total_k, 1)[:, None]
    with drawing.figure(WIDTH_IN, 0.94 * WIDTH_IN if k > 4 else HEIGHT_IN) as (figure, axes):
        from matplotlib.patches import Rectangle

        for i in range(k):
            for j in range(k):
                # The text must stay readable on the fill in both themes, so the fill never gets denser than this.
                if counts[i, j]:
                    fill = 0.05 + 0.5 * share_kk[i, j]
                    place = j - 0.5, i - 0.5
                    cell = Rectangle(place, 1, 1, facecolor=BLUE, alpha=fill, edgecolor="none", clip_on=False)
                    cell.set_in_layout(False)  # the axes hold it; measuring every cell takes as long as drawing
                    axes.add_patch(cell)
                    percent = 100 * share_kk[i, j]
                    text = f"{percent:.0f}" if percent >= 0.5 else "<1"
                    if k <= 4:
                        text = f"{percent:.1f} %\n{counts[i, j]:,}"
                    weight = "bold" if i == j else "normal"
                    color = INK if percent >= 0.5 else MUTED
                    written = axes.text(j, i, text, ha="center", va="center", weight=weight, color=color, fontsize=10.0)
                    written.set_in_layout(False)
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
        for edge in np.arange(-0.5, k):
            axes.axhline(edge, color=RULE, linewidth=0.6)
            axes.axvline(edge, color=RULE, linewidth=0.6)
        axes.set_xlabel(across)
        axes.set_ylabel(down)
        return drawing.chart(figure, alt)


def distance_histogram(
    distance_n: np.ndarray, changed_n: np.ndarray, threshold: float | None, distance_label: str, alt: str
) -> Chart:
    """The chart of the distances of changed and unchanged pairs, each as shares of its own kind, with the threshold."""
    distance_n = np.asarray(distance_n, dtype=np.float64)
    changed_n = np.asarray(changed_n, dtype=bool)
    low, high = (float(distance_n.min()), float(distance_n.max())) if distance_n.size else (0.0, 1.0)
    smaller = min(int(changed_n.sum()), int((~changed_n).sum()))
    bins = int(np.clip(2 * np.sqrt(smaller), 10, 40))
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    series = ((~changed_n, "unchanged", BLUE, "-"), (changed_n, "changed", VERMILION, "--"))
    with drawing.figure(WIDTH_IN, HEIGHT_IN) as (figure, axes):
        for chosen, name, color, style in series:
            count = int(chosen.sum())
            share = 100 * np.histogram(distance_n[chosen], edges)[0] / max(count, 1)
            axes.stairs(share, edges, fill=True, color=color, alpha=0.16)
            axes.stairs(share, edges, color=color, linewidth=1.5, linestyle=style, label=f"{name} ({count:,} pairs)")
        if threshold is not None:
            drawing.threshold_line(axes, threshold, "changed from here")
        axes.set_ylim(0, 1.12 * axes.get_ylim()[1])  # room for the threshold's text
        axes.set_xlabel(distance_label)
        axes.set_ylabel("share of pairs in each bin, %")
        drawing.legend_below(figure, axes, columns=2)
        return drawing.chart(figure, alt)


def threshold_curves(
    test: Curve,
    validation: Curve | None,
    threshold: float | None,
    trivial_oa: float | None,
    distance_label: str,
    alt: str,
) -> Chart:
    """The chart of overall accuracy, kappa and F1 against the threshold, on test (solid) and validation (dotted)."""
    with drawing.figure(WIDTH_IN, HEIGHT_IN + 0.25) as (figure, axes):
        for name, color in (("oa", GREEN), ("kappa", BLUE), ("f1", VERMILION)):
            label = {"oa": "OA", "kappa": "kappa", "f1": "F1 of change"}[name]
            x, y = drawing.thinned(test.threshold, getattr(test, name))
            axes.plot(x, y, color=color, label=f"{label}, test")
            if validation is not None:
                x, y = drawing.thinned(validation.threshold, getattr(validation, name))
                axes.plot(x, y, color=color, linestyle=(0, (1, 1.6)), linewidth=1.4, label=f"{label}, validation")
        if trivial_oa is not None:
            axes.axhline(trivial_oa, color=MUTED, linewidth=1, linestyle=(0, (6, 3)), label="OA of all unchanged")
        if threshold is not None:
            drawing.threshold_line(axes, threshold, "chosen")
        axes.set_ylim(top=1.13)  # room for the threshold's text
        axes.set_xlabel(f"threshold on the {distance_label}")
        axes.set_ylabel("metric (0 to 1)")
        drawing.legend_below(figure, axes, columns=2)
        return drawing.chart(figure, alt)


def loss_curve(step_n: np.ndarray, loss_n: np.ndarray, learning_rate_n: np.ndarray | None, alt: str) -> Chart:
    """The chart of the training loss against the step, as recorded and smoothed, above the learning rate."""
    panels = 1 if learning_rate_n is None else 2
    with drawing.figure(WIDTH_IN, HEIGHT_IN, panels=panels, heights=(3.0, 1.0)) as (figure, *axes):
        x, y = drawing.thinned(step_n, loss_n)
        axes[0].plot(x, y, color=BLUE, alpha=0.35, linewidth=1, label="as recorded")
        window = max(1, len(loss_n) // 25)
        if window > 1:
            x, y = drawing.thinned(step_n, drawing.running_mean(loss_n, window))
            axes[0].plot(x, y, color=BLUE, linewidth=2, label=f"mean of the last {window}")
            axes[0].legend(loc="upper right")
        axes[0].set_ylabel("training loss (nats)")
        if learning_rate_n is not None:
            x, y = drawing.thinned(step_n, learning_rate_n)
            axes[1].plot(x, y, color=MUTED, linewidth=1.4)
            axes[1].set_ylabel("learning\nrate")
            axes[1].set_ylim(bottom=0)
        axes[-1].set_xlabel("training step")
        return drawing.chart(figure, alt)


def throughput(step_n: np.ndarray, images_per_s_n: np.ndarray, alt: str) -> Chart:
    """The chart of training throughput against the step, with its median."""
    median = float(np.median(images_per_s_n))
    with drawing.figure(WIDTH_IN, HEIGHT_IN) as (figure, axes):
        x, y = drawing.thinned(step_n, images_per_s_n)
        axes.plot(x, y, color=GREEN, linewidth=1.2, label="as recorded")
        axes.axhline(median, color=MUTED, linewidth=1, linestyle=(0, (6, 3)), label=f"median {median:,.0f}")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("training step")
        axes.set_ylabel("training throughput, images/s")
        drawing.legend_below(figure, axes, columns=2)
        return drawing.chart(figure, alt)


def kappa_plane(possible: Sequence[Point], impossible: Sequence[Point], own: Sequence[Point], alt: str) -> Chart:
    """The chart of kappa against overall accuracy: the paper's values, our own, and what no binary table can reach."""
    oa = np.linspace(0.4, 1.0, 121)
    bound = oa**2 / (1 + (1 - oa) ** 2)
    with drawing.figure(WIDTH_IN, HEIGHT_IN + 0.5) as (figure, axes):
        axes.fill_between(oa, bound, 1.02, color=VERMILION, alpha=0.09, linewidth=0)
        axes.plot(oa, bound, color=VERMILION, linewidth=1.2)
        axes.text(0.425, 0.93, "out of reach of any\ntwo-class table", color=VERMILION, fontsize=10.0, va="top")
        axes.plot([p.oa for p in possible], [p.kappa for p in possible], "o", color=MUTED, alpha=0.65, markersize=4.5)
        axes.plot([], [], "o", color=MUTED, markersize=4.5, label="paper, possible")
        axes.plot([p.oa for p in impossible], [p.kappa for p in impossible], "x", color=VERMILION, markersize=5.5)
        axes.plot([], [], "x", color=VERMILION, markersize=5.5, label="paper, impossible")
        for label, marker in zip(dict.fromkeys(p.label for p in own), "DsP^v", strict=False):
            ours = [p for p in own if p.label == label]
            axes.plot([p.oa for p in ours], [p.kappa for p in ours], marker, color=BLUE, markersize=6, label=label)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set_xlim(min(0.4, *(p.oa - 0.03 for p in own)) if own else 0.4, 1.0)
        axes.set_ylim(min(-0.05, *(p.kappa - 0.05 for p in own)) if own else -0.05, 1.0)
        axes.set_xlabel("overall accuracy (0 to 1)")
        axes.set_ylabel("Cohen's kappa (-1 to 1)")
        drawing.legend_below(figure, axes, columns=2)
        return drawing.chart(figure, alt)


def pareto(speeds: Sequence[Speed], axis_label: str, alt: str) -> Chart:
    """The chart of what networks reach against their throughput, with the line of those that none beats in both."""
    with drawing.figure(WIDTH_IN, HEIGHT_IN + 0.9) as (figure, axes):
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
            axes.text(speed.images_per_s, speed.value, drawing.wrapped(speed.label, _LINE_LENGTH, _LINES), fontsize=9.0)
            for speed in front
        ]
        for name in names:
            name.set_bbox({"facecolor": drawing.SURFACE, "edgecolor": "none", "alpha": 0.8, "pad": 0.5})
            name.set_in_layout(False)  # they are moved into the axes, and must not make these smaller
        axes.set_xlabel("images/s of this evaluation")
        axes.set_ylabel(axis_label)
        drawing.legend_below(figure, axes, columns=2)
        everything = [speed.images_per_s for speed in speeds], [speed.value for speed in speeds]
        adjust_text(names, *everything, ax=axes, expand=(1.1, 1.6), arrowprops={"arrowstyle": "-", "color": MUTED})
        return drawing.chart(figure, alt)


def frontier(speeds: Sequence[Speed]) -> list[Speed]:
    """Those that no other beats in throughput and value both, by rising throughput."""
    front: list[Speed] = []
    for speed in sorted(speeds, key=lambda s: (-s.images_per_s, -s.value)):
        if not front or speed.value > front[-1].value:
            front.append(speed)
    return front[::-1]
