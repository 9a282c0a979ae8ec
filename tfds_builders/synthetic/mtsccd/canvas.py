"""Drawing in metres: polygons, strips, discs and ground textures on one tile seen from above."""

import functools
import math
from typing import Any

import cv2
import numpy as np

_SHIFT = 4  # OpenCV's fixed-point coordinates: sixteenths of a pixel
_FIXED = 1 << _SHIFT
_SMOOTH_EDGES_FROM = 256  # pixels; smaller canvases are reduced afterwards, which smooths edges at less cost
_BANK = 1024  # side of the stored noise that grain is cut from: drawing normal numbers anew costs ten times as much
_NOISE_DENSITY, _NOISE_BLUR = 3, 1.3  # smooth noise: points a feature, and the blur that makes features of them
_LARGE_CROWN_PX = 6.0
_SHADOW_STEP_M = 9.0
_SHADE_STEP = 1 / 96  # of the brightness factors that `shaded` tells apart
_ALONG, _ACROSS = np.array((-1.0, 1.0, 1.0, -1.0)), np.array((-1.0, -1.0, 1.0, 1.0))  # corners of a rectangle
Colour = np.ndarray  # (3,) float, RGB, 0 to 255


def box_corners(centre_n2: np.ndarray, size_n2: np.ndarray, angle_n: np.ndarray | float) -> np.ndarray:
    """Return the corners (n, 4, 2) of rectangles given by centre, (length, width) and angle in radians."""
    centre_n2 = np.atleast_2d(centre_n2)
    angle_n1 = np.reshape(angle_n, (-1, 1))
    half_n2 = np.reshape(size_n2, (-1, 2)) / 2
    along_n4 = half_n2[:, :1] * _ALONG
    across_n4 = half_n2[:, 1:] * _ACROSS
    cosine, sine = np.cos(angle_n1), np.sin(angle_n1)
    corner_n42 = np.empty((len(centre_n2), 4, 2))
    corner_n42[..., 0] = along_n4 * cosine - across_n4 * sine + centre_n2[:, :1]
    corner_n42[..., 1] = along_n4 * sine + across_n4 * cosine + centre_n2[:, 1:]
    return corner_n42


def rotate(point_n2: np.ndarray, angle: float) -> np.ndarray:
    """Return points (..., 2) turned by `angle` radians about the origin."""
    cosine, sine = math.cos(angle), math.sin(angle)
    turned_n2: np.ndarray = point_n2 @ np.array(((cosine, sine), (-sine, cosine)))
    return turned_n2


@functools.lru_cache(maxsize=4)
def _ground_grid(size: int, extent_m: float) -> tuple[np.ndarray, np.ndarray]:
    axis = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(extent_m / size)
    axis -= np.float32(extent_m / 2)
    y_hw, x_hw = np.meshgrid(axis, axis, indexing="ij")
    return x_hw, y_hw


@functools.lru_cache(maxsize=1)
def _noise_bank() -> np.ndarray:
    bank_hw = np.random.default_rng(0).standard_normal((_BANK, _BANK), dtype=np.float32)
    bank_hw.setflags(write=False)
    return bank_hw


def grain(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return noise (size, size) of unit variance, every pixel for itself: a window of a stored field, read-only."""
    bank_hw = _noise_bank()
    if size > _BANK // 2:
        repeats = -(-2 * size // _BANK)
        bank_hw = np.tile(bank_hw, (repeats, repeats))
    row, column = rng.integers(bank_hw.shape[0] - size, size=2).tolist()
    return bank_hw[row : row + size, column : column + size]


def shaded(colour: Colour, factor_hw: np.ndarray) -> np.ndarray:
    """Return the uint8 image (h, w, 3) of one colour times `factor_hw`."""
    level_hw = cv2.convertScaleAbs(factor_hw, alpha=1 / _SHADE_STEP)
    table = np.clip(np.arange(256)[:, None] * (_SHADE_STEP * np.asarray(colour)), 0, 255).astype(np.uint8)
    return cv2.applyColorMap(level_hw, table[:, None, :])


class Canvas:
    """A picture of the ground in the making: `image_hwc` is uint8 RGB, coordinates are metres from the tile's middle.

    `shadow_m` is how far, per metre of height, a shadow falls in x and y; `shade` is how bright shaded ground remains.
    """

    def __init__(self, size: int, extent_m: float, shadow_m: tuple[float, float], shade: float):
        self.size = size
        self.extent_m = extent_m
        self.shadow_m = np.array(shadow_m)
        self.shade = shade
        self.pixels_per_m = size / extent_m
        self.image_hwc: np.ndarray = np.zeros((size, size, 3), dtype=np.uint8)
        self._line_type = cv2.LINE_AA if size >= _SMOOTH_EDGES_FROM else cv2.LINE_8

    @property
    def ground_xy(self) -> tuple[np.ndarray, np.ndarray]:
        """The ground coordinates x_hw, y_hw (metres, float32) of every pixel centre."""
        return _ground_grid(self.size, self.extent_m)

    def _fixed(self, point_n2: np.ndarray) -> np.ndarray:
        scale = self.pixels_per_m * _FIXED
        return np.rint(point_n2 * scale + (self.size / 2 - 0.5) * _FIXED).astype(np.int32)

    def fill(self, colour: Colour) -> None:
        """Paint everything."""
        self.image_hwc = self.plain(colour)

    def plain(self, colour: Colour) -> np.ndarray:
        """Return a uint8 image (h, w, 3) of one colour, the size of the canvas."""
        image_hwc = np.empty_like(self.image_hwc)
        cv2.rectangle(image_hwc, (0, 0), (self.size, self.size), _bytes(colour), cv2.FILLED)
        return image_hwc

    def polygons(self, corner_nk2: np.ndarray, colour: np.ndarray) -> None:
        """Paint convex polygons (n, k, 2), all in one colour (3,) or each in its own (n, 3)."""
        colours = _bytes(colour) if colour.ndim == 2 else [_bytes(colour)] * len(corner_nk2)
        for points, one in zip(self._fixed(corner_nk2), colours, strict=True):
            cv2.fillConvexPoly(self.image_hwc, points, one, self._line_type, _SHIFT)

    def outline(self, point_k2: np.ndarray, colour: Colour) -> None:
        """Paint one polygon of any shape."""
        cv2.fillPoly(self.image_hwc, [self._fixed(point_k2)], _bytes(colour), self._line_type, _SHIFT)

    def blocks(self, corner_nk2: np.ndarray, colour: np.ndarray, height_m: float) -> None:
        """Paint what stands `height_m` above the ground: first all shadows, then the roofs."""
        if len(corner_nk2) == 0:
            return
        offset_2 = height_m * self.shadow_m
        foot_n2 = (corner_nk2.mean(axis=1) + offset_2) * self.pixels_per_m + self.size / 2
        column_n, row_n = np.clip(foot_n2, 0, self.size - 1).astype(np.intp).T
        dark_n3 = self.image_hwc[row_n, column_n] * self.shade
        if np.abs(offset_2).max() > _SHADOW_STEP_M:  # a long shadow is drawn in two steps, which leaves no gap
            self.polygons(corner_nk2 + offset_2 / 2, dark_n3)
        self.polygons(corner_nk2 + offset_2, dark_n3)
        self.polygons(corner_nk2, colour)

    def strip(self, point_k2: np.ndarray, width_m: float, colour: Colour) -> None:
        """Paint a road, path or track along a line of points; never thinner than a pixel."""
        step = point_k2[1:] - point_k2[:-1]
        ahead = np.concatenate((step[:1], step[:-1] + step[1:], step[-1:]))
        across = ahead[:, ::-1] * np.array((-1.0, 1.0))
        side = across * (max(width_m, 1 / self.pixels_per_m) / 2 / np.hypot(ahead[:, 0], ahead[:, 1]))[:, None]
        self.outline(np.concatenate((point_k2 - side, (point_k2 + side)[::-1])), colour)

    def discs(self, centre_n2: np.ndarray, radius_n: np.ndarray, colour: np.ndarray) -> None:
        """Paint discs of radius `radius_n` metres."""
        radii = np.maximum(np.rint(radius_n * (self.pixels_per_m * _FIXED)), _FIXED // 2).astype(int).tolist()
        colours = _bytes(colour) if colour.ndim == 2 else [_bytes(colour)] * len(radii)
        for centre, radius, one in zip(self._fixed(centre_n2).tolist(), radii, colours, strict=True):
            cv2.circle(self.image_hwc, centre, radius, one, cv2.FILLED, self._line_type, _SHIFT)

    def specks(self, centre_n2: np.ndarray, colour_n3: np.ndarray) -> None:
        """Paint single pixels."""
        column_n, row_n = (centre_n2 * self.pixels_per_m + self.size / 2).astype(np.intp).T
        inside = (np.minimum(column_n, row_n) >= 0) & (np.maximum(column_n, row_n) < self.size)
        self.image_hwc[row_n[inside], column_n[inside]] = colour_n3[inside]

    def number_map(self, polygons: list[np.ndarray]) -> np.ndarray:
        """Return a uint8 map (h, w): 0 outside, i + 1 inside polygon i (the last one wins)."""
        map_hw = np.zeros((self.size, self.size), dtype=np.uint8)
        for number, point_k2 in enumerate(polygons, start=1):
            cv2.fillPoly(map_hw, [self._fixed(point_k2)], (number,), cv2.LINE_8, _SHIFT)
        return map_hw

    def cover(self, where_hw: np.ndarray, other_hwc: np.ndarray, opacity: float = 1.0) -> None:
        """Lay `other_hwc` (a uint8 image) over the picture where the boolean map is true."""
        if opacity < 1:
            other_hwc = cv2.addWeighted(other_hwc, opacity, self.image_hwc, 1 - opacity, 0)
        cv2.copyTo(other_hwc, where_hw.view(np.uint8), self.image_hwc)

    def modulate(self, factor_hw: np.ndarray) -> None:
        """Multiply brightness by `factor_hw`."""
        factor_hwc = cv2.merge((factor_hw,) * 3)
        self.image_hwc = cv2.multiply(self.image_hwc, factor_hwc, dtype=cv2.CV_8U)

    def noise(self, rng: np.random.Generator, feature_m: float) -> np.ndarray:
        """Return smooth noise (h, w) of about unit variance with features of `feature_m` metres."""
        cells = int(np.clip(round(self.extent_m / feature_m), 1, self.size))
        side = _NOISE_DENSITY * (cells + 3)
        blurred = cv2.GaussianBlur(grain(rng, side), (0, 0), _NOISE_BLUR)
        coarse: np.ndarray = blurred * np.float32(2 * math.sqrt(math.pi) * _NOISE_BLUR)  # of unit variance again
        reach = math.ceil(self.size * (cells + 3) / cells)
        if reach > 4 * side:  # smooth at a few points a feature first, which is cheaper than cubic all over
            coarse = cv2.resize(coarse, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
        field = cv2.resize(coarse, (reach, reach), interpolation=cv2.INTER_LINEAR)
        start = (reach - self.size) // 2
        return field[start : start + self.size, start : start + self.size]

    def grain(self, rng: np.random.Generator) -> np.ndarray:
        """Return noise (h, w) of unit variance, every pixel for itself."""
        return grain(rng, self.size)

    def crowns(self, rng: np.random.Generator, crown_m: float) -> np.ndarray:
        """Return the relief shading (h, w), zero mean, unit variance, of a closed canopy, crowns `crown_m` wide."""
        crown_px = max(crown_m * self.pixels_per_m, 1.2)
        if crown_px > _LARGE_CROWN_PX:
            bump = self.noise(rng, crown_m)  # the same to the eye, and cheaper than a wide blur
        else:
            bump = cv2.GaussianBlur(self.grain(rng), (0, 0), crown_px * _NOISE_BLUR / _NOISE_DENSITY)
        step = self.shadow_m / max(float(np.hypot(*self.shadow_m)), 1e-6) * crown_px * 0.5
        move = np.array(((1.0, 0.0, step[0]), (0.0, 1.0, step[1])))
        lit = 1.7 * bump - cv2.warpAffine(bump, move, (self.size, self.size), borderMode=cv2.BORDER_REFLECT)
        mean, deviation = cv2.meanStdDev(lit)
        return (lit - np.float32(mean.item())) * np.float32(1 / (deviation.item() + 1e-6))


def _bytes(colour: np.ndarray) -> Any:
    """Return colours as lists of numbers 0 to 255, as OpenCV's drawing functions take them."""
    return np.minimum(np.maximum(colour, 0), 255).tolist()
