"""What built land looks like: residential, commercial, educational and industrial scenes. Lengths are metres."""

import math

import numpy as np

from tfds_builders.synthetic.mtsccd.canvas import rotate
from tfds_builders.synthetic.mtsccd.plot import Plot, grid, xy

_SLABS, _HOUSES, _TOWERS = range(3)


def residential(plot: Plot) -> None:
    """Draw rows of slab blocks, of small houses, or towers in green, between streets."""
    rng, style, canvas = plot.rng, plot.style, plot.canvas
    kind = int(rng.choice(3, p=style.housing))
    green = rng.uniform(0.3, 0.8)
    plot.ground(plot.palette.grass * green + plot.palette.paving * (1 - green))
    block = np.array((rng.uniform(75, 130), rng.uniform(70, 120))) * style.building
    origin = rng.uniform(0, 1, size=2) * block
    street_m = rng.uniform(7, 12)
    for axis in (0, 1):
        for at in np.arange(-plot.reach_m - block[axis] + origin[axis], plot.reach_m, block[axis]):
            canvas.strip(plot.through(at, along_x=axis == 1), street_m, plot.palette.asphalt)
    size, step, height = _housing(plot, kind)
    point_n2 = plot.lattice(*step, jitter=0.06 * min(step))
    if kind == _TOWERS:
        row_n = np.arange(len(point_n2)) // max(1, round(2.2 * plot.reach_m / step[0]))
        point_n2[:, 0] += np.where(row_n % 2, step[0] / 2, 0)
    from_street = np.abs((point_n2 - origin + block / 2 + plot.reach_m + block * 8) % block - block / 2)
    clear = (from_street > (size + street_m) * np.array((0.40, 0.475))).all(axis=1)
    point_n2 = point_n2[clear & (rng.random(len(point_n2)) > 0.06) & plot.visible(point_n2, float(size[0]))]
    size_n2 = size * rng.uniform(0.85, 1.12, size=(len(point_n2), 2))
    plot.trees(plot.scatter(int(110 * style.greenery * rng.uniform(0.5, 1.5))), 3.0)
    roof_n3 = plot.roofs(len(point_n2), plot.palette.roof_n3, 0.10 if kind == _HOUSES else 0.05)
    corner_n42 = plot.boxes(point_n2, size_n2)
    canvas.blocks(corner_n42, roof_n3, height)
    # The shaded half of a pitched roof, or what stands on a flat one.
    half_n42 = corner_n42.copy()
    half_n42[:, 2:] = (corner_n42[:, 2:] + corner_n42[:, [1, 0]]) / 2
    canvas.polygons(half_n42, roof_n3 * (0.93 if kind == _TOWERS else 0.80))
    lane_n2 = plot.lattice(9, float(block[1]))
    lane_n2[:, 1] = np.round((lane_n2[:, 1] - origin[1]) / block[1]) * block[1] + origin[1] + street_m * 0.2
    plot.cars(lane_n2, 0.12)


def _housing(plot: Plot, kind: int) -> tuple[np.ndarray, tuple[float, float], float]:
    """Return the size (length, width) of a house, the steps of the lattice they stand on, and the height."""
    rng, style = plot.rng, plot.style
    low, high, heights, gap_x, gap_y = (
        ((34, 10), (56, 13), (14, 20), (7, 12), (11, 17)),
        ((9, 8), (13, 11), (6, 9), (2, 6), (6, 12)),
        ((20, 16), (30, 22), (35, 60), (18, 30), (20, 34)),
    )[kind]
    size, height = rng.uniform(low, high) * style.building, rng.uniform(*heights)
    step = (size[0] + rng.uniform(*gap_x) * style.spacing, size[1] + rng.uniform(*gap_y) * style.spacing)
    return size, step, height


def commercial(plot: Plot) -> None:
    """Draw a few large, varied blocks around paved squares and car parks, along an avenue."""
    rng, style, canvas = plot.rng, plot.style, plot.canvas
    plot.ground(plot.palette.paving * rng.uniform(0.85, 1.0), 0.04)
    columns, rows = int(rng.integers(2, 4)), int(rng.integers(2, 4))
    step = np.array((rng.uniform(95, 130), rng.uniform(85, 120))) * style.building * style.spacing
    avenue_m = rng.uniform(16, 26)
    at = (columns / 2 - 0.5) * step[0] * (1 if rng.random() < 0.5 else -1) + step[0] * 0.5
    canvas.strip(plot.through(at, along_x=False), avenue_m, plot.palette.asphalt)
    across = (rng.random() - 0.5) * step[1] + rows / 2 * step[1]
    canvas.strip(plot.through(across), avenue_m * 0.7, plot.palette.asphalt)
    plot.trees(xy(at + avenue_m * 0.6, np.linspace(-plot.reach_m, plot.reach_m, 40)), 3.2)
    centre_n2 = plot.lattice(float(step[0]), float(step[1]), 6.0)
    centre_n2 = centre_n2[plot.visible(centre_n2, 30)]
    for centre, use in zip(centre_n2, rng.random(len(centre_n2)), strict=True):
        size = step * rng.uniform(0.50, 0.78, size=2)
        if use < 0.22:
            _car_park(plot, centre, step * 0.8)
        elif use < 0.30:
            canvas.polygons(plot.boxes(centre, step * 0.7), plot.palette.grass)
            plot.trees(centre + rng.uniform(-0.33, 0.33, size=(16, 2)) * step, 3.4)
        else:
            _large_building(plot, centre, size)
    lane_n2 = xy(
        at + rng.choice((-0.3, -0.1, 0.1, 0.3), size=60) * avenue_m, rng.uniform(-1, 1, size=60) * plot.reach_m
    )
    plot.cars(lane_n2, 0.5, along_x=False)


def _car_park(plot: Plot, centre: np.ndarray, size: np.ndarray) -> None:
    plot.canvas.polygons(plot.boxes(centre, size), plot.palette.asphalt * 1.05)
    x_n, row_n = np.arange(-size[0] / 2 + 4, size[0] / 2 - 3, 3.0), np.arange(-size[1] / 2 + 5, size[1] / 2 - 4, 8.5)
    plot.cars(grid(x_n, row_n) + centre, 0.75, along_x=False)


def _large_building(plot: Plot, centre: np.ndarray, size: np.ndarray) -> None:
    """Draw one large building of several wings, with lifts, vents and plant on its roof."""
    rng = plot.rng
    wing_n2, size_n2 = _wings(plot, size)
    colour = plot.roofs(1, np.concatenate((plot.palette.roof_n3, plot.palette.hall_n3)))
    height = rng.uniform(12, 45)
    wing_n2 = wing_n2 + centre
    plot.canvas.blocks(plot.boxes(wing_n2, size_n2), colour * rng.normal(1.0, 0.03, size=(len(wing_n2), 1)), height)
    below = rng.integers(len(wing_n2), size=14)
    unit_n2 = wing_n2[below] + rng.uniform(-0.42, 0.42, size=(14, 2)) * size_n2[below]
    light_n1 = rng.choice((0.72, 1.2), size=(14, 1))
    plot.canvas.blocks(plot.boxes(unit_n2, rng.uniform(2.5, 8, size=(14, 2))), colour * light_n1, 2.5)


def _wings(plot: Plot, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rectangles (centres, sizes) of a large building: a box, an L, a U, a court or a stepped box."""
    length, width = size
    wing = plot.rng.uniform(0.28, 0.42)
    kind = int(plot.rng.integers(5))
    west, east = (-length * (1 - wing) / 2, 0.0), (length * (1 - wing) / 2, 0.0)
    north, south = (0.0, -width * (1 - wing) / 2), (0.0, width * (1 - wing) / 2)
    upright, flat = (length * wing, width), (length, width * wing)
    wings = (
        [((0.0, 0.0), (length, width))],
        [(west, upright), (south, flat)],
        [(west, upright), (east, upright), (south, flat)],
        [(west, upright), (east, upright), (south, flat), (north, flat)],
        [((0.0, 0.0), (length, width)), ((length * 0.1, -width * 0.1), (length * 0.5, width * 0.5))],
    )[kind]
    return np.array([centre for centre, _ in wings]), np.array([extent for _, extent in wings])


def educational(plot: Plot) -> None:
    """Draw a sports field with its track, ball courts and teaching blocks in combs and courts."""
    rng, style, canvas, palette = plot.rng, plot.style, plot.canvas, plot.palette
    green = rng.uniform(0.2, 0.7)
    plot.ground(palette.grass * green + palette.paving * (1 - green))
    edge = float(rng.choice((-1, 1))) * rng.uniform(0.40, 0.48) * canvas.extent_m
    canvas.strip(plot.through(edge), rng.uniform(9, 15), palette.asphalt)
    length = rng.uniform(110, 165) * math.sqrt(style.building)
    width = length * rng.uniform(0.50, 0.62)
    field = canvas.extent_m * np.array(
        (rng.choice((-1, 1)) * rng.uniform(0.10, 0.24), -np.sign(edge) * rng.uniform(-0.10, 0.16))
    )
    upright = bool(rng.random() < 0.5)

    def oval(less: float) -> np.ndarray:
        outline = _oval(length - less, width - less)
        return rotate((outline[:, ::-1] if upright else outline) + field, plot.angle)

    lanes = rng.uniform(8, 11)
    taken = np.array((width, length) if upright else (length, width))
    _teaching_blocks(plot, field, taken)
    infield = palette.grass * rng.uniform(0.85, 1.2) if rng.random() < 0.75 else palette.soil
    canvas.outline(oval(-6), palette.paving)
    canvas.outline(oval(0), palette.track)
    canvas.outline(oval(2 * lanes), infield)
    pitch = np.array((length - width, width - 2.6 * lanes))
    for scale, light in ((1.0, 1.25), (0.93, 1.0)):  # the pitch's white lines, then what they enclose
        canvas.polygons(plot.boxes(field, (pitch[::-1] if upright else pitch) * scale), infield * light)
    courts = int(rng.integers(2, 5))
    court_n2 = field + xy(-np.sign(field[0]) * (taken[0] / 2 + 24), (np.arange(courts) - courts / 2) * 20.0)
    canvas.polygons(plot.boxes(court_n2, np.array((33.0, 18.5))), palette.paving * 1.12)
    canvas.polygons(plot.boxes(court_n2, np.array((28.0, 14.5))), palette.track * 0.9)


def _oval(length: float, width: float, points: int = 28) -> np.ndarray:
    """Return the outline (points, 2) of a running track: a rectangle with a half circle at each end."""
    turn = np.linspace(0, 2 * math.pi, points, endpoint=False)
    straight = max(length - width, 0.0) / 2
    return xy(np.cos(turn) * width / 2 + np.sign(np.cos(turn)) * straight, np.sin(turn) * width / 2)


def _teaching_blocks(plot: Plot, field: np.ndarray, taken: np.ndarray) -> None:
    """Draw long blocks, some with a wing to the next row, everywhere but on the sports field."""
    rng, style = plot.rng, plot.style
    length, width = rng.uniform(50, 80) * style.building, rng.uniform(13, 17) * style.building
    step = (length + rng.uniform(14, 26), width + rng.uniform(20, 32) * style.spacing)
    point_n2 = plot.lattice(*step, 4.0)
    apart = np.abs(point_n2 - field) > (taken + np.array((length, width))) / 2 + 4
    point_n2 = point_n2[apart.any(axis=1) & (rng.random(len(point_n2)) > 0.18) & plot.visible(point_n2, length / 3)]
    plot.trees(plot.scatter(int(90 * style.greenery)), 3.4)
    size_n2 = np.array((length, width)) * rng.uniform(0.75, 1.05, size=(len(point_n2), 2))
    winged = rng.random(len(point_n2)) < 0.6
    wing_n2 = point_n2 + xy(rng.choice((-0.42, 0.42), size=len(point_n2)) * length, step[1] / 2)
    colour_n3 = plot.roofs(len(point_n2), plot.palette.roof_n3)
    wing_size = np.array((width * 0.7, step[1] * 0.8))
    plot.canvas.blocks(plot.boxes(wing_n2[winged], wing_size), colour_n3[winged] * 0.95, 14)
    plot.canvas.blocks(plot.boxes(point_n2, size_n2), colour_n3, 18)


def industrial(plot: Plot) -> None:
    """Draw large parallel halls with ridges and skylights, yards, tanks and stacked goods."""
    rng, style, canvas = plot.rng, plot.style, plot.canvas
    paved = rng.uniform(0.4, 1.0)
    plot.ground((plot.palette.paving * paved + plot.palette.asphalt * (1 - paved)) * rng.uniform(0.68, 0.9), 0.07)
    size = np.array((rng.uniform(90, 180), rng.uniform(30, 64))) * style.building
    step = (size[0] + rng.uniform(12, 28), size[1] + rng.uniform(7, 18) * style.spacing)
    point_n2 = plot.lattice(*step, 2.0)
    road_y = float(rng.uniform(-0.4, 0.4) * canvas.extent_m)
    road_m = rng.uniform(9, 14)
    canvas.strip(plot.through(road_y), road_m, plot.palette.asphalt)
    plot.trees(xy(np.linspace(-plot.reach_m, plot.reach_m, 36), road_y + road_m * 0.8), 2.8)
    clear = np.abs(point_n2[:, 1] - road_y) > size[1] / 2 + road_m * 0.4
    point_n2 = point_n2[clear & plot.visible(point_n2, float(size[0]) * 0.6)]
    open_air = rng.random(len(point_n2)) < 0.15
    for centre in point_n2[open_air]:
        _storage(plot, centre, size)
    _halls(plot, point_n2[~open_air], size)
    truck_n2 = xy(rng.uniform(-1, 1, size=24) * plot.reach_m, rng.choice((-0.25, 0.25), size=24) * road_m + road_y)
    plot.cars(truck_n2, 0.4)


def _halls(plot: Plot, point_n2: np.ndarray, size: np.ndarray) -> None:
    """Draw halls of one to three pitched bays, most with rows of skylights across."""
    rng, canvas = plot.rng, plot.canvas
    size_n2 = size * rng.uniform((0.7, 0.9), (1.05, 1.05), size=(len(point_n2), 2))
    colour_n3 = plot.roofs(len(point_n2), plot.palette.hall_n3, 0.05)
    canvas.blocks(plot.boxes(point_n2, size_n2), colour_n3, rng.uniform(9, 14))
    bays = int(rng.integers(1, 4))
    for bay in range(bays):
        slope_n2 = point_n2 + xy(0.0, size_n2[:, 1] * ((bay + 0.75) / bays - 0.5))
        canvas.polygons(plot.boxes(slope_n2, size_n2 * np.array((1, 0.5 / bays))), colour_n3 * 0.86)
    rows = int(rng.integers(4, 10))
    if rng.random() < 0.6:
        window_n2 = xy(2.2, size_n2[:, 1] * 0.8)
        for row in range(rows):
            row_n2 = point_n2 + xy(size_n2[:, 0] * ((row + 0.5) / rows - 0.5), 0.0)
            canvas.polygons(plot.boxes(row_n2, window_n2), np.minimum(colour_n3 * 1.22, 245))


def _storage(plot: Plot, centre: np.ndarray, size: np.ndarray) -> None:
    """Draw open storage: round tanks, or rows of containers that come and go."""
    tanks = plot.rng.random() < 0.35
    plot.canvas.polygons(plot.boxes(centre, size), plot.palette.soil * 0.9)
    if tanks:
        tank_n2 = rotate(xy(np.arange(-size[0] / 2 + 14, size[0] / 2 - 10, 26.0), 0.0) + centre, plot.angle)
        radius_n = np.full(len(tank_n2), 10.0)
        plot.canvas.discs(tank_n2 + plot.canvas.shadow_m * 8, radius_n, plot.palette.soil * 0.5)
        plot.canvas.discs(tank_n2, radius_n, plot.palette.hall_n3[0] * 1.1)
        return
    x_n, y_n = np.arange(-size[0] / 2 + 8, size[0] / 2 - 6, 14.0), np.arange(-size[1] / 2 + 4, size[1] / 2 - 2, 4.5)
    box_n2 = grid(x_n, y_n) + centre
    box_n2 = box_n2[plot.moment.random(len(box_n2)) < 0.75]
    colour_n3 = plot.palette.hall_n3[plot.moment.integers(len(plot.palette.hall_n3), size=len(box_n2))]
    plot.canvas.polygons(plot.boxes(box_n2, np.array((12.0, 2.8))), colour_n3)
