"""Charts of change detection: distances, the choice of the threshold, and kappa against overall accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.ops.metrics import binary_metrics
from mtsccd_jax.ops.threshold import threshold_curve
from mtsccd_jax.report.pictures import chart_style
from mtsccd_jax.report.pictures.chart_style import BLUE, GREEN, HEIGHT_IN, MUTED, VERMILION, WIDTH_IN, Chart


@dataclass(frozen=True)
class Curve:
    """Metrics at the thresholds of one split, each of shape (thresholds,)."""

    threshold: np.ndarray
    oa: np.ndarray
    kappa: np.ndarray
    f1: np.ndarray


def curve(distance_n: np.ndarray, changed_n: np.ndarray) -> Curve:
    """Return the metrics at up to `chart_style.MAX_POINTS` thresholds, descending, of distances (n,) and truth (n,)."""
    columns = [np.asarray(column) for column in threshold_curve(distance_n, np.asarray(changed_n).astype(bool))]
    finite = np.flatnonzero(np.isfinite(columns[0]))
    kept = finite[chart_style.evenly(len(finite))]
    threshold, *counts = (column[kept] for column in columns)
    metrics = [binary_metrics(np.array(confusion)) for confusion in zip(*counts, strict=True)]
    return Curve(threshold, *(np.array([m[name] for m in metrics]) for name in ("oa", "kappa", "f1")))


@dataclass(frozen=True)
class Point:
    """One result in the plane of overall accuracy and kappa; results of one label share a marker."""

    oa: float
    kappa: float
    label: str = ""


def distance_histogram(
    distance_n: np.ndarray, changed_n: np.ndarray, threshold: float | None, distance_label: str, alt: str
) -> Chart:
    """Draw the distances of changed and of unchanged pairs, as shares of each kind, with the threshold."""
    distance_n = np.asarray(distance_n, dtype=np.float64)
    changed_n = np.asarray(changed_n, dtype=bool)
    low, high = (float(distance_n.min()), float(distance_n.max())) if distance_n.size else (0.0, 1.0)
    smaller = min(int(changed_n.sum()), int((~changed_n).sum()))
    bins = int(np.clip(2 * np.sqrt(smaller), 10, 40))
    edges = np.linspace(low, high if high > low else low + 1.0, bins + 1)
    series = ((~changed_n, "unchanged", BLUE, "-"), (changed_n, "changed", VERMILION, "--"))
    with chart_style.figure(WIDTH_IN, HEIGHT_IN) as (figure, axes):
        for chosen, name, color, style in series:
            count = int(chosen.sum())
            share = 100 * np.histogram(distance_n[chosen], edges)[0] / max(count, 1)
            axes.stairs(share, edges, fill=True, color=color, alpha=0.16)
            axes.stairs(share, edges, color=color, linewidth=1.5, linestyle=style, label=f"{name} ({count:,} pairs)")
        if threshold is not None:
            chart_style.threshold_line(axes, threshold, "changed from here")
        axes.set_ylim(0, 1.12 * axes.get_ylim()[1])  # room for the threshold's text
        axes.set_xlabel(distance_label)
        axes.set_ylabel("share of pairs in each bin, %")
        chart_style.legend_below(figure, axes, columns=2)
        return chart_style.chart(figure, alt)


def threshold_curves(
    test: Curve,
    validation: Curve | None,
    threshold: float | None,
    trivial_oa: float | None,
    distance_label: str,
    alt: str,
) -> Chart:
    """Draw overall accuracy, kappa and F1 against the threshold, on test (solid) and validation (dotted)."""
    with chart_style.figure(WIDTH_IN, HEIGHT_IN + 0.25) as (figure, axes):
        for name, color in (("oa", GREEN), ("kappa", BLUE), ("f1", VERMILION)):
            label = {"oa": "OA", "kappa": "kappa", "f1": "F1 of change"}[name]
            x, y = chart_style.thinned(test.threshold, getattr(test, name))
            axes.plot(x, y, color=color, label=f"{label}, test")
            if validation is not None:
                x, y = chart_style.thinned(validation.threshold, getattr(validation, name))
                axes.plot(x, y, color=color, linestyle=(0, (1, 1.6)), linewidth=1.4, label=f"{label}, validation")
        if trivial_oa is not None:
            axes.axhline(trivial_oa, color=MUTED, linewidth=1, linestyle=(0, (6, 3)), label="trivial OA")
        if threshold is not None:
            chart_style.threshold_line(axes, threshold, "chosen")
        axes.set_ylim(top=1.13)  # room for the threshold's text
        axes.set_xlabel(f"threshold on the {distance_label}")
        axes.set_ylabel("metric (0 to 1)")
        chart_style.legend_below(figure, axes, columns=2)
        return chart_style.chart(figure, alt)


def kappa_plane(possible: Sequence[Point], impossible: Sequence[Point], own: Sequence[Point], alt: str) -> Chart:
    """Draw kappa against overall accuracy: the paper's values, our own, and what no two-class table can have."""
    oa = np.linspace(0.4, 1.0, 121)
    bound = oa**2 / (1 + (1 - oa) ** 2)
    with chart_style.figure(WIDTH_IN, HEIGHT_IN + 0.5) as (figure, axes):
        axes.fill_between(oa, bound, 1.02, color=VERMILION, alpha=0.09, linewidth=0)
        axes.plot(oa, bound, color=VERMILION, linewidth=1.2)
        axes.text(0.425, 0.93, "out of reach of any\ntwo-class table", color=VERMILION, fontsize=10.0, va="top")
        axes.plot([p.oa for p in possible], [p.kappa for p in possible], "o", color=MUTED, alpha=0.65, markersize=4.5)
        axes.plot([], [], "o", color=MUTED, markersize=4.5, label="paper, within the bound")
        axes.plot([p.oa for p in impossible], [p.kappa for p in impossible], "x", color=VERMILION, markersize=5.5)
        axes.plot([], [], "x", color=VERMILION, markersize=5.5, label="paper, above the bound")
        for label, marker in zip(dict.fromkeys(p.label for p in own), "DsP^v", strict=False):
            ours = [p for p in own if p.label == label]
            axes.plot([p.oa for p in ours], [p.kappa for p in ours], marker, color=BLUE, markersize=6, label=label)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set_xlim(min(0.4, *(p.oa - 0.03 for p in own)) if own else 0.4, 1.0)
        axes.set_ylim(min(-0.05, *(p.kappa - 0.05 for p in own)) if own else -0.05, 1.0)
        axes.set_xlabel("overall accuracy (0 to 1)")
        axes.set_ylabel("Cohen's kappa (-1 to 1)")
        chart_style.legend_below(figure, axes, columns=2)
        return chart_style.chart(figure, alt)
