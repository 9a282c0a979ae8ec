"""A tile to draw one class on, and the things that several classes show: trees, cars, groves, roofs.

All that belongs to the place comes from `Plot.rng`, in an order that does not depend on the date, so that the same
state draws the same place again; what comes and goes (cars, boats, machines) comes from `Plot.moment`.
"""

import dataclasses

import numpy as np

from tfds_builders.synthetic.mtsccd.canvas import Canvas, box_corners, rotate, shaded
from tfds_builders.synthetic.mtsccd.styles import Palette, Style

_CARS = np.array(((225, 225, 225), (40, 42, 46), (150, 152, 156), (150, 46, 42), (60, 80, 130)), dtype=np.float64)
_CAR_M = np.array((4.6, 2.0))
_CARS_FROM = 0.7  # pixels per metre, from which a car is more than a speck


def xy(x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
    """Return points (n, 2) from their coordinates, each an array (n,) or one number for all."""
    return np.stack(np.broadcast_arrays(x, y), axis=-1).astype(np.float64)


def grid(x_n: np.ndarray, y_m: np.ndarray) -> np.ndarray:
    """Return the points (n m, 2) of a grid, row by row."""
    return np.stack(np.meshgrid(x_n, y_m), axis=-1).reshape(-1, 2)


@dataclasses.dataclass(frozen=True)
class Plot:
    """One tile to draw on: canvas, random states, the city's habits, the date's colours, the streets' angle (radians).

    Points "of the street frame" are metres from the middle of the tile with the x axis along the streets.
    """

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
        """Return the points (n, 2) of a jittered lattice over the whole plot, in the street frame, row by row."""
        shift_x, shift_y = self.rng.uniform(0, step_x), self.rng.uniform(0, step_y)
        x_n = np.arange(-self.reach_m - step_x + shift_x, self.reach_m + step_x, step_x)
        y_n = np.arange(-self.reach_m - step_y + shift_y, self.reach_m + step_y, step_y)
        point_n2 = grid(x_n, y_n)
        return point_n2 + self.rng.uniform(-jitter, jitter, size=point_n2.shape)

    def scatter(self, count: int) -> np.ndarray:
        """Return points (count, 2) anywhere on the plot."""
        return self.rng.uniform(-1, 1, size=(count, 2)) * self.reach_m

    def visible(self, point_n2: np.ndarray, margin_m: float) -> np.ndarray:
        """Return which points of the street frame lie on the tile or within `margin_m` of it."""
        inside_n: np.ndarray = np.abs(rotate(point_n2, self.angle)).max(axis=1) < self.canvas.extent_m / 2 + margin_m
        return inside_n

    def boxes(self, centre_n2: np.ndarray, size_n2: np.ndarray, turn_n: np.ndarray | float = 0.0) -> np.ndarray:
        """Return corners (n, 4, 2) on the ground of rectangles given in the street frame."""
        return box_corners(rotate(np.atleast_2d(centre_n2), self.angle), size_n2, np.asarray(turn_n) + self.angle)

    def through(self, at: float, along_x: bool = True) -> np.ndarray:
        """Return a line (2, 2) on the ground across the whole tile, along a street axis at distance `at` from it."""
        ends = np.array((-self.reach_m, self.reach_m))
        return rotate(xy(ends, at) if along_x else xy(at, ends), self.angle)

    def ground(self, colour: np.ndarray, rough: float = 0.06) -> None:
        """Paint everything in one colour, slightly uneven."""
        self.canvas.fill(colour)
        self.canvas.modulate(1 + rough * self.canvas.noise(self.rng, 45) + 0.5 * rough * self.canvas.noise(self.rng, 9))

    def groves(self, feature_m: float, rarity: tuple[float, float]) -> None:
        """Paint groves `feature_m` wide; the higher `rarity` (standard deviations of noise), the fewer."""
        grove_hw = self.canvas.noise(self.rng, feature_m) > self.rng.uniform(*rarity)
        crowns_hw = self.canvas.crowns(self.rng, self.style.crown_m)
        self.canvas.cover(grove_hw, shaded(self.palette.tree, 1 + 0.22 * crowns_hw))

    def trees(self, point_n2: np.ndarray, radius_m: float) -> None:
        """Draw single trees with their shadows at points of the street frame."""
        point_n2 = point_n2[self.visible(point_n2, 5)]
        ground_n2 = rotate(point_n2, self.angle)
        size_n = radius_m * self.rng.uniform(0.7, 1.3, size=len(point_n2))
        light_n1 = self.rng.normal(1.0, 0.12, size=(len(point_n2), 1))
        self.canvas.discs(ground_n2 + self.canvas.shadow_m * 4, size_n, self.palette.tree * 0.55)
        self.canvas.discs(ground_n2, size_n, self.palette.tree * light_n1)

    def cars(self, point_n2: np.ndarray, share: float, along_x: bool = True) -> None:
        """Draw cars on a share of the given places of the street frame."""
        point_n2 = point_n2[(self.moment.random(len(point_n2)) < share) & self.visible(point_n2, 0)]
        colour_n3 = _CARS[self.moment.integers(len(_CARS), size=len(point_n2))]
        if self.canvas.pixels_per_m < _CARS_FROM:
            self.canvas.specks(rotate(point_n2, self.angle), colour_n3)
        else:
            self.canvas.polygons(self.boxes(point_n2, _CAR_M if along_x else _CAR_M[::-1]), colour_n3)

    def roofs(self, count: int, colour_n3: np.ndarray, spread: float = 0.07) -> np.ndarray:
        """Return roof colours (count, 3): mostly one of the alternatives, some of a second one."""
        first, second = self.rng.permutation(len(colour_n3))[:2]
        chosen = np.where(self.rng.random(count) < 0.75, first, second)
        roof_n3: np.ndarray = colour_n3[chosen] * self.rng.normal(1.0, spread, size=(count, 1))
        return roof_n3
