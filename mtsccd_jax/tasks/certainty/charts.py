"""Charts of certainty: reliability, risk against coverage, and the coverage of sets beside what was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.ops.certainty.calibration import Reliability
from mtsccd_jax.ops.certainty.selection import RiskCoverage
from mtsccd_jax.report.pictures import chart_style
from mtsccd_jax.report.pictures.chart_style import BLUE, GREEN, HEIGHT_IN, INK, MUTED, VERMILION, WIDTH_IN, Chart

# Colour, marker and line of a place: the first is in city.
STYLES = ((BLUE, "o", "-"), (VERMILION, "D", "--"), (GREEN, "s", ":"), (MUTED, "^", "-."), (INK, "v", "-"))
# More lines cannot be told apart.
MOST_LINES = len(STYLES)


@dataclass(frozen=True)
class Share:
    """A share with its 95 % interval, of which group of examples, and where."""

    place: str
    group: str
    value: float
    low: float
    high: float


def reliability_diagram(bins: Reliability, said: str, came: str, alt: str) -> Chart:
    """Draw the share of events against the probability that was said, with 95 % intervals, above the counts of bins.

    On the diagonal what is said is what comes; below it the network is too sure.
    """
    k = len(bins.count_k)
    known = bins.count_k > 0
    x, share = bins.probability_k[known], bins.share_k[known]
    edges = np.linspace(0, 1, k + 1)
    with chart_style.figure(WIDTH_IN, HEIGHT_IN + 0.9, panels=2, heights=(3.0, 1.0)) as (figure, axes, below):
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (6, 3)), label="what is said comes true")
        axes.vlines(x, bins.low_k[known], bins.high_k[known], color=BLUE, linewidth=1.6)
        axes.plot(x, share, "o", color=BLUE, markersize=6, label="this split, 95 % interval")
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.03, 1.03)
        axes.set_ylabel(came)
        below.stairs(bins.count_k, edges, fill=True, color=BLUE, alpha=0.3)
        below.set_yscale("symlog", linthresh=10)  # most pairs are surely unchanged
        below.set_ylim(bottom=0)
        below.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        below.set_ylabel("examples")
        below.set_xlabel(said)
        chart_style.legend_below(figure, axes, columns=2)
        return chart_style.chart(figure, alt)


def risk_chart(curves: Sequence[tuple[str, RiskCoverage]], asked: float, alt: str) -> Chart:
    """Draw how many answers are wrong against the share of examples that is answered, one line a place."""
    with chart_style.figure(WIDTH_IN, HEIGHT_IN + 0.25) as (figure, axes):
        for (place, curve), (color, _, line) in zip(curves, STYLES, strict=False):
            # Examples of equal confidence are answered in any order: the risk is the same from the first one on.
            coverage, risk = np.append(0.0, curve.coverage_m), np.append(curve.risk_m[0], curve.risk_m)
            kept = chart_style.evenly(len(coverage))
            axes.plot(100 * coverage[kept], 100 * risk[kept], color=color, linestyle=line, label=place)
        axes.axvline(
            100 * asked, color=MUTED, linewidth=1, linestyle=(0, (1, 1.6)), label=f"{100 * asked:g} % answered"
        )
        axes.set_xlim(0, 100)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("answered, the most certain first, % of examples")
        axes.set_ylabel("wrong among these, %")
        chart_style.legend_below(figure, axes, columns=2)
        return chart_style.chart(figure, alt)


def coverage_chart(shares: Sequence[Share], asked: float, alt: str) -> Chart:
    """Draw how many truths the sets hold, one line a group and place, beside the share that was asked for."""
    places = list(dict.fromkeys(share.place for share in shares))
    y = np.arange(len(shares))[::-1]
    with chart_style.figure(WIDTH_IN, 1.3 + 0.3 * len(shares)) as (figure, axes):
        for place, (color, marker, _) in zip(places, STYLES, strict=False):
            own = [(share, position) for share, position in zip(shares, y, strict=True) if share.place == place]
            for share, position in own:
                axes.plot([100 * share.low, 100 * share.high], [position] * 2, color=color, linewidth=2.2)
            axes.plot(
                [100 * s.value for s, _ in own], [p for _, p in own], marker, color=color, markersize=6, label=place
            )
        axes.axvline(100 * asked, color=INK, linewidth=1.1, linestyle=(0, (6, 3)), label=f"asked for {100 * asked:g} %")
        axes.set_yticks(y, [share.group for share in shares])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(visible=False, axis="y")
        axes.set_ylim(-0.6, len(shares) - 0.4)
        axes.set_xlim(right=101)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("truths in the sets, % (95 % interval)")
        chart_style.legend_below(figure, axes, columns=2)
        return chart_style.chart(figure, alt)
