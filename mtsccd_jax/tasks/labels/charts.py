"""The chart of every label."""

from collections.abc import Sequence

import numpy as np

from mtsccd_jax.report import chart_style
from mtsccd_jax.report.chart_style import BLUE, INK, MUTED, VERMILION, WIDTH_IN, Chart


def by_label(names: Sequence[str], ap_k: np.ndarray, f1_k: np.ndarray, share_k: np.ndarray, alt: str) -> Chart:
    """Draw average precision and F1 of every label beside its share of the images, the most frequent label above.

    Args:
        names: Names of the labels, short enough to stand beside the axis.
        ap_k: Average precision, (k,).
        f1_k: F1, (k,).
        share_k: Share of the images with the label, (k,), which is the average precision of random scores.
        alt: Description of the chart.
    """
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
