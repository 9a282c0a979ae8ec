"""Charts as SVG strings, each a function of arrays.

Colours are written as the literal values of the light theme. `inline` turns them into CSS variables, so that a chart
inside the page follows the reader's light or dark setting, while the same chart as a file of its own stays as drawn.
"""

import contextlib
import html
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The light theme. Blue, vermilion and green are told apart by readers with any of the common colour deficiencies
# (Okabe and Ito), and every series differs in line style or marker as well.
INK = "#1d2127"
MUTED = "#5a6370"
RULE = "#e2e5e9"
SURFACE = "#fefefd"
BLUE = "#0072b2"
VERMILION = "#d05a00"
GREEN = "#00876a"

CSS_VARIABLES: dict[str, str] = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    SURFACE: "--surface",
    BLUE: "--blue",
    VERMILION: "--vermilion",
    GREEN: "--green",
}

FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# Inches. At 72 units an inch a chart is about as wide as a phone's screen, so that 10-unit text stays legible there.
WIDTH_IN = 4.9
HEIGHT_IN = 3.1

# More points than this on a line are invisible at the size of a page and only make the file longer.
MAX_POINTS = 400

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mtsccd-jax",
    "font.family": ["DejaVu Sans"],
    "font.size": 11.0,
    "axes.labelsize": 10.5,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.facecolor": SURFACE,
    "figure.facecolor": SURFACE,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": 10.0,
    "ytick.labelsize": 10.0,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 10.0,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
}


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


def intervals(estimates: Sequence[Estimate], axis_label: str, alt: str) -> str:
    """The SVG of values with their 95 % intervals, one line each, beside the trivial predictor's and the paper's."""
    with _figure(WIDTH_IN, 1.05 + 0.3 * len(estimates)) as (figure, axes):
        y = np.arange(len(estimates))[::-1]
        for position, e in zip(y, estimates, strict=True):
            if e.low is not None and e.high is not None:
                axes.plot([e.low, e.high], [position] * 2, color=BLUE, linewidth=2.2)
        axes.plot([e.value for e in estimates], y, "o", color=BLUE, markersize=6, label="this run, 95 % interval")
        _marks(axes, [(e.trivial, p) for e, p in zip(estimates, y, strict=True)], "|", MUTED, "trivial predictor", 11)
        published = [(e.published, p, e.possible) for e, p in zip(estimates, y, strict=True)]
        _marks(axes, [(v, p) for v, p, possible in published if possible], "D", VERMILION, "paper", 5.5, hollow=True)
        impossible = [(v, p) for v, p, possible in published if not possible]
        _marks(axes, impossible, "x", VERMILION, "paper, impossible value", 6.5)
        axes.set_yticks(y, [e.label for e in estimates])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(visible=False, axis="y")
        axes.set_ylim(-0.6, len(estimates) - 0.4)
        axes.set_xlabel(axis_label)
        axes.spines["left"].set_visible(False)
        _legend_below(figure, axes, columns=2)
        return _svg(figure, alt)


def confusion(counts: np.ndarray, class_names: Sequence[str], alt: str) -> str:
    """The SVG of a confusion matrix (k, k), rows truth, in per cent of each row, the row's count beside its name."""
    counts = np.asarray(counts, dtype=np.int64)
    k = len(class_names)
    total_k = counts.sum(axis=1)
    share_kk = counts / np.maximum(total_k, 1)[:, None]
    with _figure(WIDTH_IN, 0.94 * WIDTH_IN if k > 4 else HEIGHT_IN) as (figure, axes):
        from matplotlib.patches import Rectangle

        for i in range(k):
            for j in range(k):
                # The text must stay readable on the fill in both themes, so the fill never gets denser than this.
                fill = 0.05 + 0.5 * share_kk[i, j] if counts[i, j] else 0.0
                axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=BLUE, alpha=fill, edgecolor="none"))
                if counts[i, j]:
                    percent = 100 * share_kk[i, j]
                    text = f"{percent:.0f}" if percent >= 0.5 else "<1"
                    if k <= 4:
                        text = f"{percent:.1f} %\n{counts[i, j]:,}"
                    weight = "bold" if i == j else "normal"
                    color = INK if percent >= 0.5 else MUTED
                    axes.text(j, i, text, ha="center", va="center", weight=weight, color=color, fontsize=10.0)
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
        axes.set_xlabel("predicted, % of the true class")
        axes.set_ylabel("truth, with number of examples")
        return _svg(figure, alt)


def distance_histogram(
    distance_n: np.ndarray, changed_n: np.ndarray, threshold: float | None, distance_label: str, alt: str
) -> str:
    """The SVG of the distances of changed and unchanged pairs, each as shares of its own kind, with the threshold."""
    distance_n = np.asarray(distance_n, dtype=np.float64)
    changed_n = np.asarray(changed_n, dtype=bool)
    low, high = (float(distance_n.min()), float(distance_n.max())) if distance_n.size else (0.0, 1.0)
    smaller = min(int(changed_n.sum()), int((~changed_n).sum()))
    bins = int(np.clip(2 * np.sqrt(smaller), 10, 40))
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    series = ((~changed_n, "unchanged", BLUE, "-"), (changed_n, "changed", VERMILION, "--"))
    with _figure(WIDTH_IN, HEIGHT_IN) as (figure, axes):
        for chosen, name, color, style in series:
            count = int(chosen.sum())
            share = 100 * np.histogram(distance_n[chosen], edges)[0] / max(count, 1)
            axes.stairs(share, edges, fill=True, color=color, alpha=0.16)
            axes.stairs(share, edges, color=color, linewidth=1.5, linestyle=style, label=f"{name} ({count:,} pairs)")
        if threshold is not None:
            _threshold_line(axes, threshold, "changed from here")
        axes.set_ylim(0, 1.12 * axes.get_ylim()[1])  # room for the threshold's text
        axes.set_xlabel(distance_label)
        axes.set_ylabel("share of pairs in each bin, %")
        _legend_below(figure, axes, columns=2)
        return _svg(figure, alt)


def threshold_curves(
    test: Curve,
    validation: Curve | None,
    threshold: float | None,
    trivial_oa: float | None,
    distance_label: str,
    alt: str,
) -> str:
    """The SVG of overall accuracy, kappa and F1 against the threshold, on test (solid) and validation (dotted)."""
    with _figure(WIDTH_IN, HEIGHT_IN + 0.25) as (figure, axes):
        for name, color in (("oa", GREEN), ("kappa", BLUE), ("f1", VERMILION)):
            label = {"oa": "OA", "kappa": "kappa", "f1": "F1 of change"}[name]
            x, y = _thinned(test.threshold, getattr(test, name))
            axes.plot(x, y, color=color, label=f"{label}, test")
            if validation is not None:
                x, y = _thinned(validation.threshold, getattr(validation, name))
                axes.plot(x, y, color=color, linestyle=(0, (1, 1.6)), linewidth=1.4, label=f"{label}, validation")
        if trivial_oa is not None:
            axes.axhline(trivial_oa, color=MUTED, linewidth=1, linestyle=(0, (6, 3)), label="OA of all unchanged")
        if threshold is not None:
            _threshold_line(axes, threshold, "chosen")
        axes.set_ylim(top=1.13)  # room for the threshold's text
        axes.set_xlabel(f"threshold on the {distance_label}")
        axes.set_ylabel("metric (0 to 1)")
        _legend_below(figure, axes, columns=2)
        return _svg(figure, alt)


def loss_curve(step_n: np.ndarray, loss_n: np.ndarray, learning_rate_n: np.ndarray | None, alt: str) -> str:
    """The SVG of the training loss against the step, as recorded and smoothed, above the learning rate."""
    panels = 1 if learning_rate_n is None else 2
    with _figure(WIDTH_IN, HEIGHT_IN, panels=panels, heights=(3.0, 1.0)) as (figure, *axes):
        x, y = _thinned(step_n, loss_n)
        axes[0].plot(x, y, color=BLUE, alpha=0.35, linewidth=1, label="as recorded")
        window = max(1, len(loss_n) // 25)
        if window > 1:
            x, y = _thinned(step_n, _running_mean(loss_n, window))
            axes[0].plot(x, y, color=BLUE, linewidth=2, label=f"mean of the last {window}")
            axes[0].legend(loc="upper right")
        axes[0].set_ylabel("training loss (nats)")
        if learning_rate_n is not None:
            x, y = _thinned(step_n, learning_rate_n)
            axes[1].plot(x, y, color=MUTED, linewidth=1.4)
            axes[1].set_ylabel("learning\nrate")
            axes[1].set_ylim(bottom=0)
        axes[-1].set_xlabel("training step")
        return _svg(figure, alt)


def throughput(step_n: np.ndarray, images_per_s_n: np.ndarray, alt: str) -> str:
    """The SVG of training throughput against the step, with its median."""
    median = float(np.median(images_per_s_n))
    with _figure(WIDTH_IN, HEIGHT_IN) as (figure, axes):
        x, y = _thinned(step_n, images_per_s_n)
        axes.plot(x, y, color=GREEN, linewidth=1.2, label="as recorded")
        axes.axhline(median, color=MUTED, linewidth=1, linestyle=(0, (6, 3)), label=f"median {median:,.0f}")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("training step")
        axes.set_ylabel("training throughput, images/s")
        _legend_below(figure, axes, columns=2)
        return _svg(figure, alt)


def kappa_plane(possible: Sequence[Point], impossible: Sequence[Point], own: Sequence[Point], alt: str) -> str:
    """The SVG of kappa against overall accuracy: the paper's values, our own, and what no binary table can reach."""
    oa = np.linspace(0.4, 1.0, 121)
    bound = oa**2 / (1 + (1 - oa) ** 2)
    with _figure(WIDTH_IN, HEIGHT_IN + 0.5) as (figure, axes):
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
        _legend_below(figure, axes, columns=2)
        return _svg(figure, alt)


def inline(svg: str, prefix: str) -> str:
    """The chart for use inside an HTML page: themed colours, ids of its own, no XML prolog, as wide as its container.

    Args:
        svg: What a function of this module returned.
        prefix: Unique on the page; put before every id.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    end = body.index(">")
    body = re.sub(r'\s(?:xmlns|xmlns:xlink|version|width|height)="[^"]*"', "", body[:end]) + body[end:]
    body = body.replace("xlink:href", "href")
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = body.replace('href="#', f'href="#{prefix}-').replace("url(#", f"url(#{prefix}-")
    for color, variable in CSS_VARIABLES.items():
        body = body.replace(color, f"var({variable})")
    return body.strip()


@contextlib.contextmanager
def _figure(width_in: float, height_in: float, *, panels: int = 1, heights: tuple[float, ...] = ()) -> Iterator[Any]:
    """(figure, axes, ...) of that many stacked panels on one x axis, drawn and saved in the house style."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        ratios = heights[:panels] if panels > 1 else None
        axes = figure.subplots(panels, 1, sharex=True, squeeze=False, height_ratios=ratios)
        yield figure, *axes[:, 0]


def _svg(figure: "Figure", alt: str) -> str:
    """The figure as SVG text with system fonts and its description as accessible name; the same figure, same text."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue().replace("'DejaVu Sans'", FONTS)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(alt)}" ', 1)


def _marks(
    axes: "Axes",
    places: Sequence[tuple[float | None, float]],
    marker: str,
    color: str,
    label: str,
    size: float,
    *,
    hollow: bool = False,
) -> None:
    """Nothing; draws one marker at every (x, y) whose x is known, and the label only if there is one."""
    known = [(x, y) for x, y in places if x is not None]
    if known:
        x, y = zip(*known, strict=True)
        face = SURFACE if hollow else color
        axes.plot(x, y, marker, color=color, markerfacecolor=face, markersize=size, markeredgewidth=1.6, label=label)


def _threshold_line(axes: "Axes", threshold: float, text: str) -> None:
    """Nothing; draws the chosen threshold as a vertical line with its value written at its top."""
    axes.axvline(threshold, color=INK, linewidth=1.1)
    right = threshold > sum(axes.get_xlim()) / 2
    axes.annotate(
        f"{text}: {threshold:.3g}",
        (threshold, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if right else 4, -2),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        fontsize=10.0,
    )


def _legend_below(figure: "Figure", axes: "Axes", columns: int) -> None:
    """Nothing; puts the legend under the axes, where it covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, columnspacing=1.4, borderaxespad=0.2)


def _thinned(x_n: np.ndarray, y_n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most `MAX_POINTS` of the points, evenly spaced in rank, first and last included, where both are finite."""
    x_n, y_n = np.asarray(x_n, dtype=np.float64), np.asarray(y_n, dtype=np.float64)
    finite = np.flatnonzero(np.isfinite(x_n) & np.isfinite(y_n))
    if len(finite) > MAX_POINTS:
        finite = finite[np.linspace(0, len(finite) - 1, MAX_POINTS).round().astype(np.int64)]
    return x_n[finite], y_n[finite]


def _running_mean(y_n: np.ndarray, window: int) -> np.ndarray:
    """The mean of each value and up to window - 1 before it."""
    total = np.concatenate([[0.0], np.cumsum(np.asarray(y_n, dtype=np.float64))])
    end = np.arange(1, len(total))
    start = np.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)
