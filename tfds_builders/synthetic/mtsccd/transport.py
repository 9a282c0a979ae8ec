"""What transportation land looks like: highways, crossings, interchanges and railways. Lengths are metres."""

import math

import numpy as np

from tfds_builders.synthetic.mtsccd.canvas import rotate
from tfds_builders.synthetic.mtsccd.plot import Plot, xy

_HIGHWAY, _CROSSING, _INTERCHANGE, _RAILWAY = range(4)
_RAMP_M = 9.0


def transportation(plot: Plot) -> None:
    """Draw a highway, a crossing of avenues, an interchange or a railway through mixed surroundings."""
    rng, canvas, asphalt = plot.rng, plot.canvas, plot.palette.asphalt
    _surroundings(plot)
    kind = int(rng.choice(4, p=plot.style.roads))
    middle = float(rng.uniform(-0.15, 0.15) * canvas.extent_m)
    if kind == _RAILWAY:
        _railway(plot, middle)
        return
    width = rng.uniform(44, 76)
    if kind == _INTERCHANGE:
        _ramps(plot, middle, width)
    if kind != _HIGHWAY:
        across = width * rng.uniform(0.6, 1.0)
        _road(plot, plot.through(middle, along_x=False), across)
    _road(plot, plot.through(middle), width)
    if kind == _CROSSING:
        canvas.polygons(plot.boxes(np.array((middle, middle)), np.array((across, width))), asphalt)
        for side in (-1, 1):  # zebra stripes
            stripe_n2 = xy(middle + side * (across / 2 + 4), middle + np.linspace(-0.42, 0.42, 9) * width)
            canvas.polygons(plot.boxes(stripe_n2, np.array((5.0, 1.6))), asphalt * 1.6)
    lane_n = rng.choice(np.array((-0.42, -0.25, -0.14, 0.14, 0.25, 0.42)), size=80)
    lane_n2 = xy(rng.uniform(-plot.reach_m, plot.reach_m, size=80), middle + lane_n * width)
    plot.cars(lane_n2, 0.45)
    if kind != _HIGHWAY:
        plot.cars(lane_n2[:, ::-1], 0.3, along_x=False)


def _surroundings(plot: Plot) -> None:
    """Draw what lies beside a road: grass, soil or paving, groves and some buildings."""
    rng = plot.rng
    share = rng.dirichlet((1.2, 0.6, 0.8))
    plot.ground(share[0] * plot.palette.grass + share[1] * plot.palette.soil + share[2] * plot.palette.paving, 0.09)
    plot.groves(60, (0.8, 2.2))
    count = int(rng.integers(0, 16))
    point_n2 = plot.scatter(count)
    size_n2 = rng.uniform((14, 9), (40, 18), size=(count, 2)) * plot.style.building
    plot.canvas.blocks(plot.boxes(point_n2, size_n2), plot.roofs(count, plot.palette.roof_n3), 12)


def _road(plot: Plot, line: np.ndarray, width: float) -> None:
    """Draw a main road along `line` on the ground: side lanes, green belts, carriageways, median, lane marks."""
    palette = plot.palette
    ahead = (line[1] - line[0]) / np.hypot(*(line[1] - line[0]))
    side = np.array((-ahead[1], ahead[0]))
    belt = palette.tree if plot.rng.random() < 0.6 else palette.grass * 0.85
    median = palette.tree if plot.rng.random() < 0.6 else palette.paving
    for share, colour in ((1.0, palette.paving), (0.92, palette.asphalt), (0.74, belt), (0.60, palette.asphalt)):
        plot.canvas.strip(line, share * width, colour)
    plot.canvas.strip(line, plot.rng.uniform(0.06, 0.14) * width, median)
    for at in (-0.19, 0.19):
        plot.canvas.strip(line + side * at * width, 0.5, palette.asphalt * 1.35)


def _ramps(plot: Plot, middle: float, width: float) -> None:
    """Draw a loop and an outer ramp in each quarter of an interchange."""
    colour = plot.palette.asphalt * 1.05
    turn = np.linspace(0, 2 * math.pi, 25)
    quarter_turn = np.linspace(0, math.pi, 13) - math.pi / 2
    for quarter, radius in enumerate(plot.rng.uniform(45, 85, size=4)):
        corner = np.array((1 if quarter in (0, 3) else -1, 1 if quarter in (0, 1) else -1))
        loop = xy(np.cos(turn), np.sin(turn)) * radius * 0.5 + corner * (radius * 0.5 + width * 0.4) + middle
        plot.canvas.strip(rotate(loop, plot.angle), _RAMP_M, colour)
        arc = quarter_turn + quarter * math.pi / 2
        ramp = xy(np.cos(arc), np.sin(arc)) * radius * 1.5 + middle
        plot.canvas.strip(rotate(ramp, plot.angle), _RAMP_M, colour)


def _railway(plot: Plot, middle: float) -> None:
    """Draw a bundle of tracks on ballast, perhaps with platform roofs, and trains that come and go."""
    rng, canvas, palette = plot.rng, plot.canvas, plot.palette
    tracks = int(rng.integers(3, 13))
    gauge = rng.uniform(5.0, 7.5)
    track_y = middle + (np.arange(tracks) - (tracks - 1) / 2) * gauge
    canvas.strip(plot.through(middle), tracks * gauge + 8, palette.soil * 0.55 + palette.asphalt * 0.4)
    for at in track_y:
        canvas.strip(plot.through(at), 2.2, palette.asphalt * 0.62)
        canvas.strip(plot.through(at), 0.5, palette.paving * 1.15)
    if rng.random() < 0.5:
        for roof in range(int(rng.integers(1, 4))):
            centre = np.array((0.0, middle + (roof - 1) * gauge * 2.5))
            canvas.blocks(plot.boxes(centre, np.array((plot.reach_m * 1.1, gauge * 1.3))), palette.hall_n3[:1], 8)
    for track in rng.integers(tracks, size=2):
        coach_n2 = xy(plot.moment.uniform(-plot.reach_m, plot.reach_m) + np.arange(8) * 26.0, track_y[track])
        canvas.polygons(plot.boxes(coach_n2, np.array((25.0, 3.2))), palette.hall_n3[-1])
