"""Charts of shift."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtsccd_jax.report.pictures import chart_style
from mtsccd_jax.report.pictures.chart_style import BLUE, INK, MUTED, VERMILION, WIDTH_IN, Chart


@dataclass(frozen=True)
class City:
    """A city: the score of networks that know it and of the one that does not, with the interval of the latter."""

    name: str
    inside: float
    outside: float
    low: float
    high: float


def gaps(cities: Sequence[City], axis_label: str, alt: str) -> Chart:
    """Draw both scores of every city, joined by the gap between them."""
    with chart_style.figure(WIDTH_IN, 1.25 + 0.36 * len(cities)) as (figure, axes):
        y = np.arange(len(cities))[::-1]
        for position, city in zip(y, cities, strict=True):
            axes.plot([city.low, city.high], [position - 0.16] * 2, color=VERMILION, linewidth=1.2, alpha=0.7)
            axes.plot([city.inside, city.outside], [position] * 2, color=MUTED, linewidth=1.4)
            middle = (city.inside + city.outside) / 2
            change = f"{100 * (city.outside - city.inside):+.1f}".replace("-", "−")
            axes.text(middle, position + 0.14, change, ha="center", va="bottom", color=INK, fontsize=9.0)
        for values, marker, color, label in (
            ([city.inside for city in cities], "o", BLUE, "knows the city"),
            ([city.outside for city in cities], "D", VERMILION, "does not, 95 % interval"),
        ):
            axes.plot(values, y, marker, color=color, markersize=6.5, label=label)
        axes.set_yticks(y, [city.name for city in cities])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(visible=False, axis="y")
        axes.set_ylim(-0.6, len(cities) - 0.3)
        axes.margins(x=0.08)
        axes.set_xlabel(axis_label)
        axes.spines["left"].set_visible(False)
        chart_style.legend_below(figure, axes, columns=2)
        return chart_style.chart(figure, alt)
