"""Draw scenes that show given labels of MLRSNet.

Every label is drawn in its own way. Drawings cover one another and vary in colour and light, so that a network learns
them well but not perfectly. They say nothing about the real images.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from tfds_builders.mlrsnet.names import LABELS

Rgb = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

_COLOUR_SPREAD = 14.0  # standard deviation of a look's colour from scene to scene
_NOISE = 7.0  # standard deviation of a pixel's grain
_PLAIN_GROUND: Rgb = (128, 120, 104)


@dataclass(frozen=True)
class Area:
    """Land that covers a share of the scene, with grain of `grain` pixels' standard deviation.

    `stripes` is the number of furrows or terraces across the scene, 0 for none; `dots` is the number of dark or light
    spots, in `dot_colour`.
    """

    colour: Rgb
    cover: tuple[float, float]
    grain: float = 6.0
    stripes: int = 0
    dots: int = 0
    dot_colour: Rgb = (0, 0, 0)


@dataclass(frozen=True)
class Way:
    """A band across the scene; `width` is a share of its side, `middle` the colour of a line along it, if any."""

    colour: Rgb
    width: float
    middle: Rgb | None = None
    bends: float = 0.1  # how far it swings, as a share of the scene's side


@dataclass(frozen=True)
class Things:
    """A number of like things; `size` is a share of the scene's side."""

    colour: Rgb
    shape: str  # a key of _SHAPES
    size: float
    count: tuple[int, int]
    inner: Rgb | None = None


Look = Area | Way | Things

# In the order in which they are drawn: what lies low comes first.
LOOKS: dict[str, Look] = {
    "sea": Area((22, 62, 112), (0.55, 0.85), 3.0),
    "desert": Area((214, 178, 122), (0.85, 0.98), 5.0, stripes=6),
    "wetland": Area((86, 104, 66), (0.5, 0.8), 12.0, dots=60, dot_colour=(44, 70, 84)),
    "mountain": Area((118, 100, 84), (0.7, 0.95), 26.0, stripes=4),
    "chaparral": Area((188, 164, 120), (0.5, 0.9), 5.0, dots=160, dot_colour=(74, 84, 44)),
    "bare soil": Area((168, 128, 92), (0.2, 0.5), 9.0),
    "sand": Area((226, 206, 160), (0.15, 0.4), 4.0),
    "grass": Area((112, 150, 74), (0.2, 0.5), 6.0),
    "field": Area((166, 160, 82), (0.25, 0.6), 4.0, stripes=22),
    "terrace": Area((124, 136, 70), (0.5, 0.85), 4.0, stripes=11),
    "golf course": Area((84, 168, 78), (0.4, 0.7), 3.0, dots=9, dot_colour=(232, 216, 170)),
    "park": Area((70, 128, 62), (0.3, 0.6), 10.0, dots=20, dot_colour=(160, 170, 120)),
    "water": Area((46, 84, 104), (0.15, 0.35), 3.0),
    "lake": Area((30, 92, 122), (0.35, 0.6), 2.0),
    "island": Area((96, 122, 72), (0.15, 0.35), 12.0),
    "beach": Area((240, 224, 186), (0.1, 0.2), 3.0),
    "snow": Area((236, 238, 244), (0.25, 0.6), 5.0),
    "snowberg": Area((196, 208, 224), (0.35, 0.7), 22.0, stripes=5),
    "forest": Area((34, 66, 36), (0.55, 0.9), 14.0, dots=120, dot_colour=(24, 48, 26)),
    "pavement": Area((150, 148, 146), (0.15, 0.35), 3.0),
    "parking lot": Area((120, 118, 124), (0.15, 0.3), 3.0, stripes=30),
    "airport": Area((172, 170, 164), (0.2, 0.4), 2.0),
    "habor": Area((96, 112, 126), (0.15, 0.3), 3.0, stripes=9),
    "gully": Way((104, 78, 56), 0.035, bends=0.22),
    "trail": Way((196, 176, 140), 0.012, bends=0.2),
    "river": Way((40, 90, 112), 0.14, bends=0.2),
    "road": Way((136, 134, 132), 0.04, bends=0.06),
    "freeway": Way((110, 110, 112), 0.11, (232, 232, 228), bends=0.02),
    "parkway": Way((126, 122, 112), 0.07, (74, 118, 62), bends=0.14),
    "railway": Way((98, 84, 78), 0.035, (176, 170, 166), bends=0.03),
    "railway station": Things((152, 96, 84), "box", 0.3, (1, 1), (196, 178, 170)),
    "runway": Way((88, 90, 94), 0.13, (244, 244, 244), bends=0.0),
    "bridge": Way((206, 198, 190), 0.06, (150, 146, 142), bends=0.0),
    "overpass": Way((164, 160, 158), 0.09, (96, 96, 98), bends=0.12),
    "intersection": Things((132, 130, 132), "cross", 0.5, (1, 1)),
    "crosswalk": Things((242, 242, 238), "ladder", 0.09, (2, 4)),
    "roundabout": Things((140, 138, 138), "ring", 0.22, (1, 1), (88, 138, 70)),
    "dock": Things((176, 158, 132), "bar", 0.26, (2, 4)),
    "dense residential area": Things((158, 92, 74), "box", 0.055, (45, 70)),
    "sparse residential area": Things((138, 88, 80), "box", 0.09, (2, 4)),
    "mobile home": Things((226, 222, 214), "bar", 0.075, (30, 50)),
    "buildings": Things((190, 180, 172), "box", 0.12, (4, 9), (150, 140, 134)),
    "factory": Things((126, 148, 176), "box", 0.24, (2, 4), (104, 126, 156)),
    "greenhouse": Things((212, 224, 232), "bar", 0.2, (8, 16)),
    "containers": Things((188, 74, 58), "bar", 0.07, (30, 60)),
    "stadium": Things((208, 204, 204), "oval", 0.5, (1, 1), (78, 148, 70)),
    "track": Things((178, 82, 66), "oval", 0.38, (1, 1), (104, 146, 78)),
    "football field": Things((62, 154, 66), "field", 0.3, (1, 1), (238, 240, 236)),
    "baseball diamond": Things((186, 132, 88), "quarter", 0.26, (1, 2), (96, 148, 70)),
    "basketball court": Things((178, 96, 62), "field", 0.14, (1, 3), (240, 226, 214)),
    "tennis court": Things((60, 110, 130), "field", 0.13, (2, 5), (238, 240, 240)),
    "swimming pool": Things((60, 190, 214), "disc", 0.06, (1, 4)),
    "tanks": Things((234, 234, 230), "disc", 0.1, (4, 10), (206, 206, 204)),
    "airplane": Things((240, 240, 244), "plane", 0.16, (1, 4)),
    "ships": Things((228, 226, 222), "bar", 0.05, (4, 12)),
    "cars": Things((210, 40, 44), "bar", 0.022, (10, 30)),
    "transmission tower": Things((222, 222, 226), "lattice", 0.16, (1, 2)),
    "wind turbine": Things((250, 250, 250), "rotor", 0.2, (1, 2)),
    "trees": Things((42, 84, 42), "disc", 0.04, (15, 50)),
    "cloud": Area((244, 244, 246), (0.2, 0.55), 3.0),
}
assert set(LOOKS) == set(LABELS)


def draw_scene(labels: Sequence[str], image_size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a scene that shows `labels`, uint8 RGB (image_size, image_size, 3); everything follows from `rng`."""
    image_hwc = np.empty((image_size, image_size, 3), dtype=np.float32)
    image_hwc[:] = _varied(_PLAIN_GROUND, rng)
    for label, look in LOOKS.items():
        if label not in labels:
            continue
        if isinstance(look, Area):
            _draw_area(image_hwc, look, rng)
        elif isinstance(look, Way):
            _draw_way(image_hwc, look, rng)
        else:
            _draw_things(image_hwc, look, rng)
    seen_hwc = cv2.GaussianBlur(image_hwc, (0, 0), max(0.3, image_size / 400))
    light, tint_c = rng.uniform(0.75, 1.15), rng.normal(1.0, 0.04, 3)
    seen_hwc = seen_hwc * (light * tint_c) + rng.normal(0.0, _NOISE, seen_hwc.shape)
    return np.clip(seen_hwc, 0, 255).astype(np.uint8)


def _varied(colour: Rgb, rng: np.random.Generator) -> tuple[float, ...]:
    return tuple((np.array(colour) + rng.normal(0.0, _COLOUR_SPREAD, 3)).tolist())


def _smooth(size: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Return smooth noise, float32 (size, size), with about `cells` hills across."""
    grid = rng.random((cells + 2, cells + 2), dtype=np.float32)
    return cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)


def _draw_area(image_hwc: np.ndarray, look: Area, rng: np.random.Generator) -> None:
    size = image_hwc.shape[0]
    height_hw = _smooth(size, 3, rng)
    inside_hw = height_hw >= np.quantile(height_hw, 1 - rng.uniform(*look.cover))
    land_hwc = np.empty_like(image_hwc)
    land_hwc[:] = _varied(look.colour, rng)
    land_hwc += (look.grain * 2 * (_smooth(size, max(4, size // 6), rng) - 0.5))[..., None]
    if look.stripes:
        turn = rng.uniform(0, math.pi)
        at = np.arange(size, dtype=np.float32) / size
        across_hw = at[None, :] * math.cos(turn) + at[:, None] * math.sin(turn) + 0.04 * _smooth(size, 3, rng)
        land_hwc += (18 * np.sin(2 * math.pi * look.stripes * across_hw))[..., None]
    if look.dots:
        colour = _varied(look.dot_colour, rng)
        for x, y in (rng.random((look.dots, 2)) * size).astype(int).tolist():
            cv2.circle(land_hwc, (x, y), max(1, size // 70), colour, -1)
    image_hwc[inside_hw] = land_hwc[inside_hw]


def _draw_way(image_hwc: np.ndarray, look: Way, rng: np.random.Generator) -> None:
    size = image_hwc.shape[0]
    turn, offset = rng.uniform(0, math.pi), rng.uniform(-0.25, 0.25)
    along = np.linspace(-0.8, 0.8, 33)
    swing = offset + look.bends * np.sin(2 * math.pi * (along * rng.uniform(0.4, 0.9) + rng.random()))
    x = 0.5 + along * math.cos(turn) - swing * math.sin(turn)
    y = 0.5 + along * math.sin(turn) + swing * math.cos(turn)
    points = np.stack([x, y], axis=1) * size
    points = points.astype(np.int32)[:, None]
    cv2.polylines(image_hwc, [points], False, _varied(look.colour, rng), max(1, round(look.width * size)))
    if look.middle is not None:
        cv2.polylines(image_hwc, [points], False, _varied(look.middle, rng), max(1, round(look.width * size / 6)))


def _draw_things(image_hwc: np.ndarray, look: Things, rng: np.random.Generator) -> None:
    size = image_hwc.shape[0]
    colour = _varied(look.colour, rng)
    inner = None if look.inner is None else _varied(look.inner, rng)
    turn = rng.uniform(0, math.pi)  # things of a kind mostly point the same way
    for _ in range(int(rng.integers(look.count[0], look.count[1] + 1))):
        side = max(2.0, look.size * size * rng.uniform(0.8, 1.2))
        at = rng.uniform(0.08, 0.92, 2) * size
        _SHAPES[look.shape](_Thing(image_hwc, at, side, turn + rng.normal(0, 0.1), colour, inner))


@dataclass(frozen=True)
class _Thing:
    """One thing to draw on `image_hwc`, `side` pixels large, around `at` (x, y); `turn` is in radians."""

    image_hwc: np.ndarray
    at: np.ndarray
    side: float
    turn: float
    colour: tuple[float, ...]
    inner: tuple[float, ...] | None

    def pixels(self, points: Points) -> np.ndarray:
        """Return int32 (n, 1, 2) pixels of points that are given in units of `side` around `at`."""
        c, s = math.cos(self.turn), math.sin(self.turn)
        xy = np.array(points) * self.side
        x, y = xy[:, 0] * c - xy[:, 1] * s + self.at[0], xy[:, 0] * s + xy[:, 1] * c + self.at[1]
        return np.stack([x, y], 1).astype(np.int32)[:, None]

    def rectangle(self, half: float) -> None:
        """Fill a rectangle `side` long and `2 * half * side` wide."""
        corners = self.pixels([(-0.5, -half), (0.5, -half), (0.5, half), (-0.5, half)])
        cv2.fillPoly(self.image_hwc, [corners], self.colour)

    def lines(self, points: Points, share: int, *, closed: bool = False) -> None:
        """Draw lines from point to point, one `share`-th of `side` wide."""
        cv2.polylines(self.image_hwc, [self.pixels(points)], closed, self.colour, max(1, round(self.side / share)))

    def disc(self, radius: float) -> None:
        """Fill a disc of `radius` pixels."""
        x, y = self.at.astype(int).tolist()
        cv2.circle(self.image_hwc, (x, y), max(1, round(radius)), self.colour, -1)

    def ellipse(self, axes: tuple[float, float], stop: int) -> None:
        """Fill the part of an ellipse from 0 to `stop` degrees, its half axes in pixels."""
        x, y = self.at.astype(int).tolist()
        rounded = (max(1, round(axes[0])), max(1, round(axes[1])))
        cv2.ellipse(self.image_hwc, (x, y), rounded, math.degrees(self.turn), 0, stop, self.colour, -1)


def _box(thing: _Thing) -> None:
    replace(thing, at=thing.at + thing.side / 12, colour=(40.0, 40.0, 44.0)).rectangle(0.4)  # its shadow
    thing.rectangle(0.4)
    if thing.inner is not None:
        replace(thing, side=thing.side * 0.6, colour=thing.inner).rectangle(0.3)


def _field(thing: _Thing) -> None:
    thing.rectangle(0.3)
    if thing.inner is not None:
        marks = replace(thing, colour=thing.inner)
        marks.lines([(-0.4, -0.22), (0.4, -0.22), (0.4, 0.22), (-0.4, 0.22)], 30, closed=True)
        marks.lines([(0, -0.22), (0, 0.22)], 30)


def _cross(thing: _Thing) -> None:
    for more in (0.0, math.pi / 2):
        replace(thing, side=thing.side * 3, turn=thing.turn + more).rectangle(0.05)


def _ladder(thing: _Thing) -> None:
    for step in (-0.4, -0.2, 0.0, 0.2, 0.4):
        thing.lines([(step, -0.4), (step, 0.4)], 12)


def _disc(thing: _Thing) -> None:
    thing.disc(thing.side / 2)
    if thing.inner is not None:
        replace(thing, colour=thing.inner).disc(thing.side / 4)


def _ring(thing: _Thing) -> None:
    _cross(thing)
    _disc(replace(thing, side=thing.side * 1.3))


def _oval(thing: _Thing) -> None:
    for share, paint in ((1.0, thing.colour), (0.65, thing.inner or thing.colour)):
        replace(thing, colour=paint).ellipse((thing.side * share / 2, thing.side * share / 3), 360)


def _quarter(thing: _Thing) -> None:
    for share, paint in ((1.0, thing.inner or thing.colour), (0.55, thing.colour)):
        replace(thing, colour=paint).ellipse((thing.side * share,) * 2, 90)


def _plane(thing: _Thing) -> None:
    thing.rectangle(0.07)
    wings = thing.pixels([(0.1, 0.0), (-0.2, -0.5), (-0.08, 0.0), (-0.2, 0.5)])
    cv2.fillPoly(thing.image_hwc, [wings], thing.colour)


def _rotor(thing: _Thing) -> None:
    for blade in range(3):
        replace(thing, turn=thing.turn + blade * 2 * math.pi / 3).lines([(0.0, 0.0), (0.6, 0.0)], 14)


_SHAPES: dict[str, Callable[[_Thing], None]] = {
    "bar": lambda thing: thing.rectangle(0.18),
    "box": _box,
    "cross": _cross,
    "disc": _disc,
    "field": _field,
    "ladder": _ladder,
    "lattice": lambda thing: thing.lines([(-0.5, -0.3), (0.5, -0.3), (-0.5, 0.3), (0.5, 0.3), (-0.5, -0.3)], 16),
    "oval": _oval,
    "plane": _plane,
    "quarter": _quarter,
    "ring": _ring,
    "rotor": _rotor,
}
