"""What built land looks like: residential, commercial, educational, industrial and transportation scenes.

Every function draws one class on a `Plot`. All that belongs to the place comes from `plot.rng`, in an order that does not
depend on the date, so that the same state draws the same place again; what comes and goes (cars) from `plot.moment`.
"""

import dataclasses
import math

import numpy as np

from tfds_builders.synthetic.canvas import Canvas, box_corners, rotate, shaded
from tfds_builders.synthetic.styles import Palette, Style

_CARS = np.array(((225, 225, 225), (40, 42, 46), (150, 152, 156), (150, 46, 42), (60, 80, 130)), dtype=np.float64)
_CARS_FROM = 0.7  # pixels per metre, from which a car is more than a speck


@dataclasses.dataclass
class Plot:
    """One tile to draw on: the canvas, the city's habits, the colours of the date, the street angle in radians."""

    canvas: Canvas
    rng: np.random.Generator
    moment: np.random.Generator
    style: Style
    palette: Palette
    angle: float

    @property
    def reach_m(self) -> float:
        """Half the side of a square that covers the tile at any angle."""
        return self.canvas.extent_m * 0.72

    def lattice(self, step_x: float, step_y: float, jitter: float = 0.0) -> np.ndarray:
        """Returns the points (n, 2) of a jittered lattice over the whole plot, in the frame of the streets (unrotated)."""
        shift_x, shift_y = self.rng.uniform(0, step_x), self.rng.uniform(0, step_y)
        x_n = np.arange(-self.reach_m - step_x + shift_x, self.reach_m + step_x, step_x)
        y_n = np.arange(-self.reach_m - step_y + shift_y, self.reach_m + step_y, step_y)
        point_n2 = np.stack(np.meshgrid(x_n, y_n), axis=-1).reshape(-1, 2)
        return point_n2 + self.rng.uniform(-jitter, jitter, size=point_n2.shape)

    def visible(self, point_n2: np.ndarray, margin_m: float) -> np.ndarray:
        """Returns which points (street frame) lie on the tile or within `margin_m` of it."""
        return np.abs(rotate(point_n2, self.angle)).max(axis=1) < self.canvas.extent_m / 2 + margin_m

    def boxes(self, centre_n2: np.ndarray, size_n2: np.ndarray, turn_n: np.ndarray | float = 0.0) -> np.ndarray:
        """Returns corners (n, 4, 2) on the ground of rectangles given in the frame of the streets."""
        return box_corners(rotate(np.atleast_2d(centre_n2), self.angle), size_n2, np.asarray(turn_n) + self.angle)

    def trees(self, point_n2: np.ndarray, radius_m: float) -> None:
        """Draws single trees with their shadows at points of the street frame."""
        point_n2 = point_n2[self.visible(point_n2, 5)]
        ground_n2 = rotate(point_n2, self.angle)
        size_n = radius_m * self.rng.uniform(0.7, 1.3, size=len(point_n2))
        light_n1 = self.rng.normal(1.0, 0.12, size=(len(point_n2), 1))
        self.canvas.discs(ground_n2 + self.canvas.shadow_m * 4, size_n, self.palette.tree * 0.55)
        self.canvas.discs(ground_n2, size_n, self.palette.tree * light_n1)

    def cars(self, point_n2: np.ndarray, share: float, along_x: bool = True) -> None:
        """Draws cars (4.5 x 2 m) on a share of the given places of the street frame."""
        point_n2 = point_n2[(self.moment.random(len(point_n2)) < share) & self.visible(point_n2, 0)]
        colour_n3 = _CARS[self.moment.integers(len(_CARS), size=len(point_n2))]
        if self.canvas.pixels_per_m < _CARS_FROM:
            self.canvas.specks(rotate(point_n2, self.angle), colour_n3)
        else:
            self.canvas.polygons(self.boxes(point_n2, np.array((4.6, 2.0) if along_x else (2.0, 4.6))), colour_n3)

    def line(self, start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
        """Returns a straight line of the street frame as points on the ground."""
        return rotate(np.array((start, end), dtype=np.float64), self.angle)


def _ground(plot: Plot, colour: np.ndarray, rough: float = 0.06) -> None:
    plot.canvas.fill(colour)
    plot.canvas.modulate(1 + rough * plot.canvas.noise(plot.rng, 45) + 0.5 * rough * plot.canvas.noise(plot.rng, 9))


def _roofs(plot: Plot, n: int, colour_n3: np.ndarray, spread: float = 0.07) -> np.ndarray:
    """Returns n roof colours (n, 3): mostly the first of a shuffled pair of the alternatives."""
    first, second = plot.rng.permutation(len(colour_n3))[:2]
    chosen = np.where(plot.rng.random(n) < 0.75, first, second)
    return colour_n3[chosen] * plot.rng.normal(1.0, spread, size=(n, 1))


def residential(plot: Plot) -> None:
    """Draws rows of slab blocks, of small houses, or towers in green, between streets."""
    rng, style = plot.rng, plot.style
    kind = int(rng.choice(3, p=style.housing))
    green = rng.uniform(0.3, 0.8)
    _ground(plot, plot.palette.grass * green + plot.palette.paving * (1 - green))
    block = np.array((rng.uniform(75, 130), rng.uniform(70, 120))) * style.building
    origin = rng.uniform(0, 1, size=2) * block
    street_m = rng.uniform(7, 12)
    for axis in (0, 1):
        for at in np.arange(-plot.reach_m - block[axis] + origin[axis], plot.reach_m, block[axis]):
            ends = ((at, -plot.reach_m), (at, plot.reach_m)) if axis == 0 else ((-plot.reach_m, at), (plot.reach_m, at))
            plot.canvas.strip(plot.line(*ends), street_m, plot.palette.asphalt)
    if kind == 0:
        size, height = np.array((rng.uniform(34, 56), rng.uniform(10, 13))) * style.building, rng.uniform(14, 20)
        step = (size[0] + rng.uniform(7, 12) * style.spacing, size[1] + rng.uniform(11, 17) * style.spacing)
    elif kind == 1:
        size, height = np.array((rng.uniform(9, 13), rng.uniform(8, 11))) * style.building, rng.uniform(6, 9)
        step = (size[0] + rng.uniform(2, 6) * style.spacing, size[1] + rng.uniform(6, 12) * style.spacing)
    else:
        size, height = np.array((rng.uniform(20, 30), rng.uniform(16, 22))) * style.building, rng.uniform(35, 60)
        step = (size[0] + rng.uniform(18, 30) * style.spacing, size[1] + rng.uniform(20, 34) * style.spacing)
    point_n2 = plot.lattice(*step, jitter=0.06 * min(step))
    if kind == 2:
        point_n2[:, 0] += np.where(
            np.arange(len(point_n2)) // max(1, round(2.2 * plot.reach_m / step[0])) % 2, step[0] / 2, 0
        )
    from_street = np.abs((point_n2 - origin + block / 2 + plot.reach_m + block * 8) % block - block / 2)
    clear = (from_street > (np.array(size) * 0.5 + street_m * 0.5) * np.array((0.8, 0.95))).all(axis=1)
    keep = clear & (rng.random(len(point_n2)) > 0.06) & plot.visible(point_n2, float(size[0]))
    point_n2 = point_n2[keep]
    size_n2 = size * rng.uniform(0.85, 1.12, size=(len(point_n2), 2))
    plot.trees(
        rng.uniform(-plot.reach_m, plot.reach_m, size=(int(110 * style.greenery * rng.uniform(0.5, 1.5)), 2)), 3.0
    )
    roof_n3 = _roofs(plot, len(point_n2), plot.palette.roof_n3, 0.10 if kind == 1 else 0.05)
    corner_n42 = plot.boxes(point_n2, size_n2)
    plot.canvas.blocks(corner_n42, roof_n3, height)
    # The sunny and the shaded half of a pitched roof, or the parapet of a flat one.
    half_n42 = corner_n42.copy()
    half_n42[:, 2:] = (corner_n42[:, 2:] + corner_n42[:, [1, 0]]) / 2
    plot.canvas.polygons(half_n42, roof_n3 * (0.80 if kind != 2 else 0.93))
    lane = plot.lattice(9, float(block[1]))
    lane[:, 1] = np.round((lane[:, 1] - origin[1]) / block[1]) * block[1] + origin[1] + street_m * 0.2
    plot.cars(lane, 0.12)


def _block_shapes(plot: Plot, centre: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rectangles (centres, sizes) that make up one large building: a box, an L, a U, a court or a stepped one."""
    length, width = size
    wing = plot.rng.uniform(0.28, 0.42)
    kind = int(plot.rng.integers(5))
    west, east = (-length * (1 - wing) / 2, 0.0), (length * (1 - wing) / 2, 0.0)
    north, south = (0.0, -width * (1 - wing) / 2), (0.0, width * (1 - wing) / 2)
    upright, flat = (length * wing, width), (length, width * wing)
    parts = (
        [((0.0, 0.0), (length, width))],
        [(west, upright), (south, flat)],
        [(west, upright), (east, upright), (south, flat)],
        [(west, upright), (east, upright), (south, flat), (north, flat)],
        [((0.0, 0.0), (length, width)), ((length * 0.1, -width * 0.1), (length * 0.5, width * 0.5))],
    )[kind]
    offset_n2, size_n2 = np.array([p[0] for p in parts]), np.array([p[1] for p in parts])
    return offset_n2 + centre, size_n2


def commercial(plot: Plot) -> None:
    """Draws a few large, varied blocks around paved squares and car parks, along an avenue."""
    rng, style = plot.rng, plot.style
    _ground(plot, plot.palette.paving * rng.uniform(0.85, 1.0), 0.04)
    columns, rows = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    step = np.array((rng.uniform(95, 130), rng.uniform(85, 120))) * style.building * style.spacing
    avenue_m = rng.uniform(16, 26)
    at = (columns / 2 - 0.5) * step[0] * (1 if rng.random() < 0.5 else -1) + step[0] * 0.5
    plot.canvas.strip(plot.line((at, -plot.reach_m), (at, plot.reach_m)), avenue_m, plot.palette.asphalt)
    across = (rng.random() - 0.5) * step[1] + rows / 2 * step[1]
    plot.canvas.strip(plot.line((-plot.reach_m, across), (plot.reach_m, across)), avenue_m * 0.7, plot.palette.asphalt)
    plot.trees(np.stack((np.full(40, at + avenue_m * 0.6), np.linspace(-plot.reach_m, plot.reach_m, 40)), axis=1), 3.2)
    cell_n2 = plot.lattice(float(step[0]), float(step[1]), 6.0)
    cell_n2 = cell_n2[plot.visible(cell_n2, 30)]
    use_n = rng.random(len(cell_n2))
    for centre, use in zip(cell_n2, use_n, strict=True):
        size = step * rng.uniform(0.50, 0.78, size=2)
        if use < 0.22:
            _car_park(plot, centre, step * 0.8)
            continue
        if use < 0.30:
            plot.canvas.polygons(plot.boxes(centre, step * 0.7), plot.palette.grass)
            plot.trees(centre + rng.uniform(-0.33, 0.33, size=(16, 2)) * step, 3.4)
            continue
        centre_n2, size_n2 = _block_shapes(plot, centre, size)
        colour = _roofs(plot, 1, np.concatenate((plot.palette.roof_n3, plot.palette.hall_n3)))
        height = rng.uniform(12, 45)
        plot.canvas.blocks(
            plot.boxes(centre_n2, size_n2), colour * rng.normal(1.0, 0.03, size=(len(centre_n2), 1)), height
        )
        units = rng.integers(len(centre_n2), size=14)
        unit_n2 = centre_n2[units] + rng.uniform(-0.42, 0.42, size=(14, 2)) * size_n2[units]
        light_n1 = rng.choice((0.72, 1.2), size=(14, 1))
        plot.canvas.blocks(plot.boxes(unit_n2, rng.uniform(2.5, 8, size=(14, 2))), colour * light_n1, 2.5)
    lane = np.stack(
        (
            np.full(60, at) + rng.choice((-0.3, -0.1, 0.1, 0.3), size=60) * avenue_m,
            rng.uniform(-1, 1, size=60) * plot.reach_m,
        ),
        axis=1,
    )
    plot.cars(lane, 0.5, along_x=False)


def _car_park(plot: Plot, centre: np.ndarray, size: np.ndarray) -> None:
    plot.canvas.polygons(plot.boxes(centre, size), plot.palette.asphalt * 1.05)
    x_n = np.arange(-size[0] / 2 + 4, size[0] / 2 - 3, 3.0)
    row_n = np.arange(-size[1] / 2 + 5, size[1] / 2 - 4, 8.5)
    place_n2 = np.stack(np.meshgrid(x_n, row_n), axis=-1).reshape(-1, 2) + centre
    plot.cars(place_n2, 0.75, along_x=False)


def _oval(centre: np.ndarray, length: float, width: float, points: int = 28) -> np.ndarray:
    """Returns the outline (points, 2) of a running track: a rectangle with a half circle at each end."""
    turn = np.linspace(0, 2 * math.pi, points, endpoint=False)
    straight = max(length - width, 0.0) / 2
    return centre + np.stack(
        (np.cos(turn) * width / 2 + np.sign(np.cos(turn)) * straight, np.sin(turn) * width / 2), axis=1
    )


def educational(plot: Plot) -> None:
    """Draws a sports field with its track, ball courts and teaching blocks in combs and courts."""
    rng, style = plot.rng, plot.style
    green = rng.uniform(0.2, 0.7)
    _ground(plot, plot.palette.grass * green + plot.palette.paving * (1 - green))
    edge = float(rng.choice((-1, 1))) * rng.uniform(0.40, 0.48) * plot.canvas.extent_m
    plot.canvas.strip(plot.line((-plot.reach_m, edge), (plot.reach_m, edge)), rng.uniform(9, 15), plot.palette.asphalt)
    length = rng.uniform(110, 165) * math.sqrt(style.building)
    width = length * rng.uniform(0.50, 0.62)
    field = (
        np.array((rng.choice((-1, 1)) * rng.uniform(0.10, 0.24), -np.sign(edge) * rng.uniform(-0.10, 0.16)))
        * plot.canvas.extent_m
    )
    upright = bool(rng.random() < 0.5)

    def oval(scale_length: float, scale_width: float) -> np.ndarray:
        outline = _oval(np.zeros(2), scale_length, scale_width)
        return rotate((outline[:, ::-1] if upright else outline) + field, plot.angle)

    lane = rng.uniform(8, 11)
    taken = np.array((width, length) if upright else (length, width))
    _teaching_blocks(plot, field, taken)
    infield = plot.palette.grass * rng.uniform(0.85, 1.2) if rng.random() < 0.75 else plot.palette.soil
    plot.canvas.outline(oval(length + 6, width + 6), plot.palette.paving)
    plot.canvas.outline(oval(length, width), plot.palette.track)
    plot.canvas.outline(oval(length - 2 * lane, width - 2 * lane), infield)
    pitch = np.array((length - width, width - 2.6 * lane))
    for scale in (1.0, 0.93):
        colour = infield * (1.25 if scale == 1.0 else 1.0)
        plot.canvas.polygons(plot.boxes(field, (pitch[::-1] if upright else pitch) * scale), colour)
    court = field + np.array((-np.sign(field[0]) * (taken[0] / 2 + 24), 0.0))
    count = int(rng.integers(2, 5))
    court_n2 = court + np.stack((np.zeros(count), (np.arange(count) - count / 2) * 20.0), axis=1)
    plot.canvas.polygons(plot.boxes(court_n2, np.array((33.0, 18.5))), plot.palette.paving * 1.12)
    plot.canvas.polygons(plot.boxes(court_n2, np.array((28.0, 14.5))), plot.palette.track * 0.9)


def _teaching_blocks(plot: Plot, field: np.ndarray, taken: np.ndarray) -> None:
    rng, style = plot.rng, plot.style
    length, width = rng.uniform(50, 80) * style.building, rng.uniform(13, 17) * style.building
    step = (length + rng.uniform(14, 26), width + rng.uniform(20, 32) * style.spacing)
    point_n2 = plot.lattice(*step, 4.0)
    apart = np.abs(point_n2 - field) > (taken + np.array((length, width))) / 2 + 4
    keep = apart.any(axis=1) & (rng.random(len(point_n2)) > 0.18) & plot.visible(point_n2, length / 3)
    point_n2 = point_n2[keep]
    plot.trees(rng.uniform(-plot.reach_m, plot.reach_m, size=(int(90 * style.greenery), 2)), 3.4)
    size_n2 = np.array((length, width)) * rng.uniform(0.75, 1.05, size=(len(point_n2), 2))
    wing = rng.random(len(point_n2)) < 0.6
    side = rng.choice((-0.42, 0.42), size=len(point_n2))
    wing_n2 = point_n2 + np.stack((side * length, np.full(len(point_n2), step[1] / 2)), axis=1)
    colour_n3 = _roofs(plot, len(point_n2), plot.palette.roof_n3)
    plot.canvas.blocks(plot.boxes(wing_n2[wing], np.array((width * 0.7, step[1] * 0.8))), colour_n3[wing] * 0.95, 14)
    plot.canvas.blocks(plot.boxes(point_n2, size_n2), colour_n3, 18)


def industrial(plot: Plot) -> None:
    """Draws large parallel halls with ridges and skylights, yards, tanks and stacked goods."""
    rng, style = plot.rng, plot.style
    yard = rng.uniform(0.4, 1.0)
    _ground(plot, (plot.palette.paving * yard + plot.palette.asphalt * (1 - yard)) * rng.uniform(0.68, 0.9), 0.07)
    size = np.array((rng.uniform(90, 180), rng.uniform(30, 64))) * style.building
    step = (size[0] + rng.uniform(12, 28), size[1] + rng.uniform(7, 18) * style.spacing)
    point_n2 = plot.lattice(*step, 2.0)
    road_y = float(rng.uniform(-0.4, 0.4) * plot.canvas.extent_m)
    road_m = rng.uniform(9, 14)
    plot.canvas.strip(plot.line((-plot.reach_m, road_y), (plot.reach_m, road_y)), road_m, plot.palette.asphalt)
    plot.trees(
        np.stack((np.linspace(-plot.reach_m, plot.reach_m, 36), np.full(36, road_y + road_m * 0.8)), axis=1), 2.8
    )
    clear = np.abs(point_n2[:, 1] - road_y) > size[1] / 2 + road_m * 0.4
    point_n2 = point_n2[clear & plot.visible(point_n2, float(size[0]) * 0.6)]
    yard_n = rng.random(len(point_n2)) < 0.15
    _yard(plot, point_n2[yard_n], size)
    point_n2 = point_n2[~yard_n]
    size_n2 = size * rng.uniform((0.7, 0.9), (1.05, 1.05), size=(len(point_n2), 2))
    colour_n3 = _roofs(plot, len(point_n2), plot.palette.hall_n3, 0.05)
    plot.canvas.blocks(plot.boxes(point_n2, size_n2), colour_n3, rng.uniform(9, 14))
    bays = int(rng.integers(1, 4))
    for bay in range(bays):
        offset_n2 = np.stack((np.zeros(len(point_n2)), size_n2[:, 1] * ((bay + 0.75) / bays - 0.5)), axis=1)
        bay_n2 = np.stack((size_n2[:, 0], size_n2[:, 1] / bays * 0.5), axis=1)
        plot.canvas.polygons(plot.boxes(point_n2 + offset_n2, bay_n2), colour_n3 * 0.86)
    lights = int(rng.integers(4, 10))
    if rng.random() < 0.6:
        for light in range(lights):
            offset_n2 = np.stack((size_n2[:, 0] * ((light + 0.5) / lights - 0.5), np.zeros(len(point_n2))), axis=1)
            window_n2 = np.stack((np.full(len(point_n2), 2.2), size_n2[:, 1] * 0.8), axis=1)
            plot.canvas.polygons(plot.boxes(point_n2 + offset_n2, window_n2), np.minimum(colour_n3 * 1.22, 245))
    truck_n2 = np.stack(
        (rng.uniform(-1, 1, size=24) * plot.reach_m, rng.choice((-0.25, 0.25), size=24) * road_m + road_y), axis=1
    )
    plot.cars(truck_n2, 0.4)


def _yard(plot: Plot, centre_n2: np.ndarray, size: np.ndarray) -> None:
    """Draws open storage: rows of containers, or round tanks."""
    for centre in centre_n2:
        tanks = plot.rng.random() < 0.35
        plot.canvas.polygons(plot.boxes(centre, size), plot.palette.soil * 0.9)
        if tanks:
            x_n = np.arange(-size[0] / 2 + 14, size[0] / 2 - 10, 26.0)
            tank_n2 = rotate(np.stack((x_n, np.zeros(len(x_n))), axis=1) + centre, plot.angle)
            plot.canvas.discs(tank_n2 + plot.canvas.shadow_m * 8, np.full(len(x_n), 10.0), plot.palette.soil * 0.5)
            plot.canvas.discs(tank_n2, np.full(len(x_n), 10.0), plot.palette.hall_n3[0] * 1.1)
        else:
            grid = np.stack(
                np.meshgrid(
                    np.arange(-size[0] / 2 + 8, size[0] / 2 - 6, 14.0),
                    np.arange(-size[1] / 2 + 4, size[1] / 2 - 2, 4.5),
                ),
                axis=-1,
            )
            box_n2 = grid.reshape(-1, 2) + centre
            box_n2 = box_n2[plot.moment.random(len(box_n2)) < 0.75]
            pick_n = plot.moment.integers(len(plot.palette.hall_n3), size=len(box_n2))
            plot.canvas.polygons(plot.boxes(box_n2, np.array((12.0, 2.8))), plot.palette.hall_n3[pick_n])


def transportation(plot: Plot) -> None:
    """Draws a highway, a crossing of avenues, an interchange or a railway through mixed surroundings."""
    rng, style = plot.rng, plot.style
    _verges(plot)
    kind = int(rng.choice(4, p=style.roads))
    middle = float(rng.uniform(-0.15, 0.15) * plot.canvas.extent_m)
    span = plot.reach_m
    if kind == 3:
        _railway(plot, middle)
        return
    width = rng.uniform(44, 76)
    if kind == 2:
        radius_n = rng.uniform(45, 85, size=4)
        for quarter, radius in enumerate(radius_n):
            corner = np.array((1 if quarter in (0, 3) else -1, 1 if quarter in (0, 1) else -1))
            turn = np.linspace(0, 2 * math.pi, 25)
            loop = (
                np.stack((np.cos(turn), np.sin(turn)), axis=1) * radius * 0.5
                + corner * (radius * 0.5 + width * 0.4)
                + middle
            )
            plot.canvas.strip(rotate(loop, plot.angle), 9, plot.palette.asphalt * 1.05)
            arc = np.linspace(-math.pi / 4, 3 * math.pi / 4, 13) + quarter * math.pi / 2
            ramp = np.stack((np.cos(arc - math.pi / 4), np.sin(arc - math.pi / 4)), axis=1) * radius * 1.5 + middle
            plot.canvas.strip(rotate(ramp, plot.angle), 9, plot.palette.asphalt * 1.05)
    if kind in (1, 2):
        across = width * rng.uniform(0.6, 1.0)
        _road(plot, ((middle, -span), (middle, span)), across)
    _road(plot, ((-span, middle), (span, middle)), width)
    if kind == 1:
        plot.canvas.polygons(plot.boxes(np.array((middle, middle)), np.array((across, width))), plot.palette.asphalt)
        for side in (-1, 1):
            stripes = np.stack(
                (np.full(9, middle + side * (across / 2 + 4)), middle + np.linspace(-0.42, 0.42, 9) * width), axis=1
            )
            plot.canvas.polygons(plot.boxes(stripes, np.array((5.0, 1.6))), plot.palette.asphalt * 1.6)
    lane_n = rng.choice(np.array((-0.42, -0.25, -0.14, 0.14, 0.25, 0.42)), size=80)
    lane_n2 = np.stack((rng.uniform(-span, span, size=80), middle + lane_n * width), axis=1)
    plot.cars(lane_n2, 0.45)
    if kind in (1, 2):
        plot.cars(lane_n2[:, ::-1], 0.3, along_x=False)


def _verges(plot: Plot) -> None:
    """Draws what lies beside a road: grass, soil or paving, trees and some buildings."""
    rng, style = plot.rng, plot.style
    share = rng.dirichlet((1.2, 0.6, 0.8))
    _ground(plot, share[0] * plot.palette.grass + share[1] * plot.palette.soil + share[2] * plot.palette.paving, 0.09)
    wood_hw = plot.canvas.noise(rng, 60) > rng.uniform(0.8, 2.2)
    crowns_hw = plot.canvas.crowns(rng, style.crown_m)
    plot.canvas.cover(wood_hw, shaded(plot.palette.tree, 1 + 0.22 * crowns_hw))
    count = int(rng.integers(0, 16))
    point_n2 = rng.uniform(-1, 1, size=(count, 2)) * plot.reach_m
    size_n2 = rng.uniform((14, 9), (40, 18), size=(count, 2)) * style.building
    plot.canvas.blocks(plot.boxes(point_n2, size_n2), _roofs(plot, count, plot.palette.roof_n3), 12)


def _road(plot: Plot, ends: tuple[tuple[float, float], tuple[float, float]], width: float) -> None:
    """Draws a main road from its middle outwards: planted median, carriageways, green belts, side lanes."""
    line = plot.line(*ends)
    ahead = (line[1] - line[0]) / np.hypot(*(line[1] - line[0]))
    side = np.array((-ahead[1], ahead[0]))
    belt = plot.palette.tree if plot.rng.random() < 0.6 else plot.palette.grass * 0.85
    middle = plot.palette.tree if plot.rng.random() < 0.6 else plot.palette.paving
    bands = ((1.0, plot.palette.paving), (0.92, plot.palette.asphalt), (0.74, belt), (0.60, plot.palette.asphalt))
    for share, colour in bands:
        plot.canvas.strip(line, share * width, colour)
    plot.canvas.strip(line, plot.rng.uniform(0.06, 0.14) * width, middle)
    for at in (-0.19, 0.19):
        plot.canvas.strip(line + side * at * width, 0.5, plot.palette.asphalt * 1.35)


def _railway(plot: Plot, middle: float) -> None:
    rng = plot.rng
    tracks = int(rng.integers(3, 13))
    gauge = rng.uniform(5.0, 7.5)
    span = plot.reach_m
    plot.canvas.strip(
        plot.line((-span, middle), (span, middle)),
        tracks * gauge + 8,
        plot.palette.soil * 0.55 + plot.palette.asphalt * 0.4,
    )
    for track in range(tracks):
        at = middle + (track - (tracks - 1) / 2) * gauge
        plot.canvas.strip(plot.line((-span, at), (span, at)), 2.2, plot.palette.asphalt * 0.62)
        plot.canvas.strip(plot.line((-span, at), (span, at)), 0.5, plot.palette.paving * 1.15)
    if rng.random() < 0.5:
        for roof in range(int(rng.integers(1, 4))):
            at = middle + (roof - 1) * gauge * 2.5
            plot.canvas.blocks(
                plot.boxes(np.array((0.0, at)), np.array((span * 1.1, gauge * 1.3))), plot.palette.hall_n3[:1], 8
            )
    trains = rng.integers(tracks, size=2)
    for train in trains:
        at = middle + (train - (tracks - 1) / 2) * gauge
        coach_n2 = np.stack((plot.moment.uniform(-span, span) + np.arange(8) * 26.0, np.full(8, at)), axis=1)
        plot.canvas.polygons(plot.boxes(coach_n2, np.array((25.0, 3.2))), plot.palette.hall_n3[-1])
