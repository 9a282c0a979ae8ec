"""What open land looks like: agricultural, water, green-space, woodland and bare scenes. Lengths are metres."""

import math

import cv2
import numpy as np

from tfds_builders.synthetic.mtsccd.canvas import rotate, shaded
from tfds_builders.synthetic.mtsccd.plot import Plot, xy

_LAKE, _RIVER, _PONDS = range(3)
_MOST_PARCELS = 250  # a number map is bytes
_DUST_NET = np.array((84.0, 128.0, 92.0))
_WHITE = np.array((206.0, 210.0, 212.0))
_YELLOW = np.array((214.0, 168.0, 48.0))


def _parcels(plot: Plot, width: float, length: float) -> list[np.ndarray]:
    """Return parcels (4 corners on the ground each): rows of strips of unequal width, the rows of unequal depth."""
    rng, reach = plot.rng, plot.reach_m
    parcels: list[np.ndarray] = []
    y = -reach + rng.uniform(-width, 0) * 2
    while y < reach:
        depth = length * rng.uniform(0.7, 1.4)
        x = -reach + rng.uniform(-width, 0)
        while x < reach:
            step = width * rng.uniform(0.6, 1.7)
            parcels.append(np.array(((x, y), (x + step, y), (x + step, y + depth), (x, y + depth))))
            x += step
        y += depth
    corner_n42 = np.array(parcels)
    corner_n42[..., 0] += rng.uniform(-0.18, 0.18) * corner_n42[..., 1]
    seen = plot.visible(corner_n42.mean(axis=1), max(width, length))
    return list(rotate(corner_n42[seen][:_MOST_PARCELS], plot.angle))


def agricultural(plot: Plot) -> None:
    """Draw field parcels with furrows, ditches and lanes, now and then greenhouses or a hamlet."""
    rng, style, palette, canvas = plot.rng, plot.style, plot.palette, plot.canvas
    width = style.field_m * rng.uniform(0.7, 1.8)
    _fields(plot, _parcels(plot, width, width * style.field_aspect * rng.uniform(0.7, 1.4)))
    if rng.random() < style.greenhouses:
        _greenhouses(plot)
    for _ in range(int(rng.integers(0, 3))):
        lane = plot.through(rng.uniform(-0.5, 0.5) * canvas.extent_m, along_x=rng.random() < 0.5)
        wet = rng.random() < 0.35
        canvas.strip(lane, rng.uniform(3, 7), palette.water if wet else palette.paving)
    if rng.random() < 0.35:
        house_n2 = rng.uniform(-0.4, 0.4, size=2) * canvas.extent_m + rng.normal(0, 18, size=(7, 2))
        canvas.blocks(plot.boxes(house_n2, np.array((12.0, 9.0))), palette.roof_n3[0], 7)
    plot.trees(plot.scatter(int(rng.integers(0, 30))), 3.0)


def _fields(plot: Plot, parcels: list[np.ndarray]) -> None:
    """Paint every parcel in the colour of its crop, with furrows along or across it and banks between."""
    rng, palette, canvas = plot.rng, plot.palette, plot.canvas
    count = len(parcels) + 1
    number_hw = canvas.number_map(parcels)
    x_hw, y_hw = canvas.ground_xy
    crosswise = rng.random(count) < 0.25
    turn_n = (plot.angle + math.pi / 2 * crosswise + rng.normal(0, 0.04, size=count)).astype(np.float32)
    furrow_m = np.maximum(rng.uniform(4.0, 9.0, size=count), 2.6 / canvas.pixels_per_m).astype(np.float32)
    depth_n = (rng.uniform(0.05, 0.20, size=count) * (rng.random(count) < 0.9)).astype(np.float32)
    wave_n = np.float32(2 * math.pi) / furrow_m
    phase_hw = x_hw * (np.cos(turn_n) * wave_n)[number_hw] + y_hw * (np.sin(turn_n) * wave_n)[number_hw]
    crops = len(palette.crop_n3)
    main = rng.integers(crops)
    crop_n = np.where(rng.random(count) < 0.45, main, rng.integers(crops, size=count))
    table = np.zeros((256, 1, 3), dtype=np.uint8)
    table[:count, 0] = np.clip(palette.crop_n3[crop_n] * rng.normal(1.0, 0.09, size=(count, 1)), 0, 255)
    canvas.image_hwc = cv2.applyColorMap(number_hw, table)
    furrows_hw = np.sin(phase_hw) * depth_n[number_hw]
    canvas.modulate(1 + furrows_hw + 0.05 * canvas.grain(rng) + 0.06 * canvas.noise(rng, 25))
    bank = palette.soil * 0.9 if rng.random() < 0.5 else palette.grass * 0.7
    bank_px = max(2, round(rng.uniform(0.8, 2.4) * canvas.pixels_per_m) + 1)
    edge_hw = cv2.morphologyEx(number_hw, cv2.MORPH_GRADIENT, np.ones((bank_px, bank_px), dtype=np.uint8))
    canvas.cover(edge_hw > 0, canvas.plain(bank), 0.8)


def _greenhouses(plot: Plot) -> None:
    rng = plot.rng
    start = rng.uniform(-0.45, 0.2, size=2) * plot.canvas.extent_m
    rows, length = int(rng.integers(5, 16)), rng.uniform(40, 90)
    centre_n2 = start + xy(length / 2, np.arange(rows) * 9.0)
    white_n3 = _WHITE * rng.normal(1.0, 0.06, size=(rows, 1))
    plot.canvas.blocks(plot.boxes(centre_n2, np.array((length, 6.2))), white_n3, 3)


def water(plot: Plot) -> None:
    """Draw open water with a shore, a river between its banks, or rows of ponds with dikes."""
    rng, canvas = plot.rng, plot.canvas
    kind = int(rng.choice(3, p=plot.style.water))
    _banks(plot)
    x_hw, y_hw = canvas.ground_xy
    from_shore_hw = y_hw * math.cos(plot.angle) - x_hw * math.sin(plot.angle)
    bend_hw = 14 * canvas.noise(rng, 110) + 3 * canvas.noise(rng, 22)
    if kind == _PONDS:
        width = rng.uniform(38, 75)
        ponds = [pond for pond in _parcels(plot, width, width * rng.uniform(1.0, 2.2)) if rng.random() < 0.93]
        share = rng.uniform(0.78, 0.88)  # of a parcel's length and width; the rest is dike
        number_hw = canvas.number_map([pond.mean(axis=0) + (pond - pond.mean(axis=0)) * share for pond in ponds])
        light_n = rng.normal(1.0, 0.10, size=len(ponds) + 1).astype(np.float32)
        light_n[0] = 1
        _paint_water(plot, number_hw > 0)
        canvas.modulate(light_n[number_hw])
    elif kind == _LAKE:
        _paint_water(plot, from_shore_hw + bend_hw > rng.uniform(-0.85, -0.12) * canvas.extent_m)
    else:
        half = rng.uniform(0.17, 0.36) * canvas.extent_m
        middle = rng.uniform(-0.12, 0.12) * canvas.extent_m
        _paint_water(plot, np.abs(from_shore_hw + 1.6 * bend_hw - middle) < half)
        if rng.random() < 0.3:
            bridge = plot.through(rng.uniform(-0.3, 0.3) * canvas.extent_m, along_x=False)
            canvas.strip(bridge, rng.uniform(9, 18), plot.palette.asphalt * 1.2)
    boats = int(plot.moment.integers(0, 5))
    boat_n2 = plot.moment.uniform(-0.4, 0.4, size=(boats, 2)) * canvas.extent_m
    heading_n = plot.moment.uniform(0, 3, size=boats)
    canvas.polygons(plot.boxes(boat_n2, np.array((14.0, 4.0)), heading_n), _WHITE)


def _banks(plot: Plot) -> None:
    """Draw the land around water: grass, soil, groves, some houses."""
    rng, palette, canvas = plot.rng, plot.palette, plot.canvas
    share = rng.dirichlet((1.5, 0.8, 0.5))
    canvas.fill(share[0] * palette.grass + share[1] * palette.soil + share[2] * palette.paving)
    canvas.modulate(1 + 0.08 * canvas.noise(rng, 30) + 0.05 * canvas.grain(rng))
    plot.groves(45, (0.0, 1.5))
    count = int(rng.integers(0, 18))
    corner_n42 = plot.boxes(plot.scatter(count), np.array((14.0, 10.0)))
    canvas.blocks(corner_n42, palette.roof_n3[rng.integers(len(palette.roof_n3), size=count)], 8)


def _paint_water(plot: Plot, wet_hw: np.ndarray) -> None:
    """Paint the wet part: depth and turbidity belong to the place, ripples change with the moment."""
    rng, canvas = plot.rng, plot.canvas
    x_hw, y_hw = canvas.ground_xy
    wind = rng.uniform(0, math.pi)
    swell_m = max(rng.uniform(5, 12), 3.0 / canvas.pixels_per_m)
    phase_hw = (x_hw * math.cos(wind) + y_hw * math.sin(wind)) * (2 * math.pi / swell_m) + 2.0 * canvas.noise(rng, 40)
    ripple_hw = np.sin(phase_hw) * rng.uniform(0.0, 0.035) + rng.uniform(0.005, 0.03) * canvas.grain(plot.moment)
    depth_hw = rng.uniform(0.03, 0.12) * canvas.noise(rng, 130) + rng.uniform(-0.15, 0.15) / canvas.extent_m * x_hw
    canvas.cover(wet_hw, shaded(plot.palette.water, 1 + ripple_hw + depth_hw))


def green_space(plot: Plot) -> None:
    """Draw a park: lawns, winding paths, clumps of trees, a pond or a round square."""
    rng, palette, canvas = plot.rng, plot.palette, plot.canvas
    canvas.fill(palette.grass)
    canvas.modulate(1 + 0.06 * canvas.noise(rng, 35) + 0.02 * canvas.grain(rng))
    if rng.random() < 0.4:
        _paint_water(plot, canvas.noise(rng, 130) > rng.uniform(0.9, 1.6))
    clump_m = rng.uniform(28, 60)
    clump_hw = canvas.noise(rng, clump_m) + 0.3 * canvas.noise(rng, 12) > rng.uniform(0.0, 0.8)
    crowns_hw = canvas.crowns(rng, plot.style.crown_m * rng.uniform(0.9, 1.3))
    column_px, row_px = np.rint(canvas.shadow_m * 7 * canvas.pixels_per_m).astype(int).tolist()
    shaded_hw = np.roll(clump_hw, (row_px, column_px), axis=(0, 1))
    canvas.modulate(np.where(shaded_hw, np.float32(0.72), np.float32(1)))
    path = palette.paving * rng.uniform(1.0, 1.25)
    for _ in range(int(rng.integers(4, 8))):
        heading = rng.uniform(0, 2 * math.pi)
        t = np.linspace(-1, 1, 25)
        bend = rng.uniform(0.12, 0.35) * np.sin(t * rng.uniform(2, 5) + rng.uniform(0, 6)) + rng.uniform(-0.35, 0.35)
        canvas.strip(rotate(xy(t * 0.75, bend) * canvas.extent_m, heading), rng.uniform(3.5, 6.5), path)
    canvas.cover(clump_hw, shaded(palette.tree, 1 + 0.24 * crowns_hw))
    if rng.random() < 0.5:
        centre = rng.uniform(-0.3, 0.3, size=(1, 2)) * canvas.extent_m
        radius = rng.uniform(14, 30)
        for share, colour in ((1.0, path), (0.62, palette.grass * 0.9), (0.3, path)):
            canvas.discs(centre, np.array((radius * share,)), colour)
    plot.trees(plot.scatter(int(50 * plot.style.greenery)), 3.6)


def woodland(plot: Plot) -> None:
    """Draw a closed canopy on hills, with stands of different trees, clearings or a trail."""
    rng, palette, canvas = plot.rng, plot.palette, plot.canvas
    crowns_hw = canvas.crowns(rng, plot.style.crown_m * rng.uniform(0.8, 1.5))
    stand_hw = np.clip(canvas.noise(rng, rng.uniform(50, 120)) * 1.5, -1, 1)
    hill_hw = canvas.crowns(rng, rng.uniform(140, 260)) * plot.style.relief
    strength = rng.uniform(0.16, 0.30)
    tone_n3 = palette.tree * rng.normal(1.0, 0.10, size=(2, 3))
    light_hw = 1 + strength * crowns_hw * (1 + 0.4 * stand_hw) + hill_hw
    canvas.image_hwc = shaded(tone_n3[0], light_hw)
    canvas.cover(stand_hw > 0, shaded(tone_n3[1], light_hw), 0.7)
    gap_hw = canvas.noise(rng, 40) > rng.uniform(1.7, 3.2)
    canvas.cover(gap_hw, canvas.plain(palette.soil * 0.85 if rng.random() < 0.5 else palette.grass), 0.85)
    if rng.random() < 0.4:
        t = np.linspace(-0.75, 0.75, 21)
        bend = rng.uniform(0.03, 0.12) * np.sin(t * rng.uniform(4, 9)) + rng.uniform(-0.3, 0.3)
        trail = rotate(xy(t, bend) * canvas.extent_m, rng.uniform(0, math.pi))
        canvas.strip(trail, rng.uniform(2.5, 4.5), palette.soil)


def bare_land(plot: Plot) -> None:
    """Draw cleared ground: soil in patches, weeds or dust nets, heaps, wheel tracks, a pit, machines at work."""
    rng, palette, canvas = plot.rng, plot.palette, plot.canvas
    patch_hw, fine_hw = canvas.noise(rng, 90), canvas.noise(rng, 14)
    canvas.fill(palette.soil)
    canvas.modulate(1 + 0.10 * patch_hw + 0.06 * fine_hw + 0.035 * canvas.grain(rng))
    netted = rng.random() < 0.3  # building sites lay green nets against dust
    cover_hw = canvas.noise(rng, rng.uniform(40, 80)) + 0.35 * fine_hw > rng.uniform(0.4, 1.5)
    canvas.cover(cover_hw, canvas.plain(_DUST_NET if netted else palette.grass * 0.95), 0.75)
    heaps = int(rng.integers(3, 20))
    heap_n2 = rng.uniform(-0.5, 0.5, size=(heaps, 2)) * canvas.extent_m
    radius_n = rng.uniform(4, 12, size=heaps)
    canvas.discs(heap_n2 + canvas.shadow_m * 3, radius_n, palette.soil * 0.66)
    canvas.discs(heap_n2, radius_n * 0.9, palette.soil * 1.14)
    for _ in range(int(rng.integers(4, 9))):
        t = np.linspace(-0.8, 0.8, 21)
        bend = rng.uniform(0.05, 0.25) * np.sin(t * rng.uniform(2, 5) + rng.uniform(0, 6)) + rng.uniform(-0.4, 0.4)
        curve = rotate(xy(t, bend) * canvas.extent_m, rng.uniform(0, math.pi))
        rut, colour = rng.uniform(2.0, 3.4), palette.soil * rng.choice((0.76, 1.24))
        for side in (-rut, rut):
            canvas.strip(curve + side, 1.8, colour)
    if rng.random() < 0.35:
        pit = rng.uniform(-0.25, 0.25, size=2) * canvas.extent_m
        size = rng.uniform(40, 90, size=2)
        canvas.polygons(plot.boxes(pit, size), palette.soil * 0.72)
        canvas.polygons(plot.boxes(pit + 3, size * 0.86), palette.soil * 0.9)
    machines = int(plot.moment.integers(0, 4))
    machine_n2 = plot.moment.uniform(-0.4, 0.4, size=(machines, 2)) * canvas.extent_m
    heading_n = plot.moment.uniform(0, 3, size=machines)
    canvas.blocks(plot.boxes(machine_n2, np.array((7.0, 3.5)), heading_n), _YELLOW, 3)
