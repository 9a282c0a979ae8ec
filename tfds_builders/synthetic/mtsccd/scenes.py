"""What land looks like: one call draws the two dates of one tile for any two land-use classes."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from tfds_builders.mtsccd.names import CLASS_NAMES
from tfds_builders.synthetic.mtsccd import built, open_land, transport
from tfds_builders.synthetic.mtsccd.camera import draw_tone, photograph
from tfds_builders.synthetic.mtsccd.canvas import Canvas
from tfds_builders.synthetic.mtsccd.plot import Plot
from tfds_builders.synthetic.mtsccd.styles import STYLES, Sky, Style, tile_palette

# One drawing function a class, in the order of CLASS_NAMES.
DRAW: dict[str, Callable[[Plot], None]] = {
    "residential_land": built.residential,
    "public_service_and_commercial_land": built.commercial,
    "educational_land": built.educational,
    "industrial_land": built.industrial,
    "transportation_land": transport.transportation,
    "agricultural_land": open_land.agricultural,
    "water_body": open_land.water,
    "green_space": open_land.green_space,
    "woodland": open_land.woodland,
    "bare_land": open_land.bare_land,
}

# Land that a scene of each class is found beside, and mixed with where the tile cuts through both.
NEIGHBOURS: dict[str, tuple[str, ...]] = {
    "residential_land": ("public_service_and_commercial_land", "educational_land", "green_space", "bare_land"),
    "public_service_and_commercial_land": (
        "industrial_land",
        "residential_land",
        "educational_land",
        "transportation_land",
    ),
    "educational_land": ("residential_land", "public_service_and_commercial_land", "green_space"),
    "industrial_land": ("public_service_and_commercial_land", "bare_land", "transportation_land"),
    "transportation_land": ("residential_land", "industrial_land", "green_space", "bare_land", "agricultural_land"),
    "agricultural_land": ("bare_land", "green_space", "water_body", "woodland"),
    "water_body": ("agricultural_land", "green_space", "woodland", "bare_land"),
    "green_space": ("woodland", "water_body", "educational_land", "residential_land"),
    "woodland": ("green_space", "agricultural_land", "water_body"),
    "bare_land": ("agricultural_land", "industrial_land", "green_space", "residential_land"),
}

_KEPT_SHARE = 0.5  # changed tiles on which part of the old land is left
_KEPT_COVER = (0.10, 0.35)
_SMALLEST_CANVAS = 64
SMALLEST_IMAGE = 8
_ENLARGED = 1.5  # smaller images than _AS_LARGE_FROM are drawn so much larger and reduced, for smooth edges
_AS_LARGE_FROM = 192


@dataclasses.dataclass(frozen=True)
class Place:
    """What two dates of a tile share: the street angle, the seeds of its drawings, and what else lies on the tile."""

    angle: float
    seed: int
    other: int | None  # the class that lies beside the tile's own at both dates
    other_cover: float
    kept_cover: float  # of the tile's first class where the second differs
    edge_turn: float


def render_pair(
    label_t1: int, label_t2: int, city: str, image_size: int, seed: np.random.SeedSequence
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of a tile at both dates, uint8 RGB (image_size, image_size, 3).

    `label_*` are 0 to 9, `city` is a key of `STYLES`. Everything follows from `seed`.
    """
    style = STYLES[city]
    rng = np.random.Generator(np.random.PCG64(seed))
    neighbours = NEIGHBOURS[CLASS_NAMES[label_t1]]
    neighbour = CLASS_NAMES.index(neighbours[int(rng.integers(len(neighbours)))])
    mixed = rng.random() < style.mixed
    other_cover, kept_cover = rng.uniform(*style.other_cover), rng.uniform(*_KEPT_COVER)
    place = Place(
        angle=math.radians(rng.normal(style.angle_deg, style.angle_spread_deg) + 90 * int(rng.integers(2))),
        seed=int(rng.integers(2**63)),
        other=neighbour if mixed else None,
        other_cover=other_cover,
        kept_cover=kept_cover if rng.random() < _KEPT_SHARE and label_t1 != label_t2 else 0.0,
        edge_turn=rng.uniform(0, 2 * math.pi),
    )
    size = max(_SMALLEST_CANVAS, image_size if image_size >= _AS_LARGE_FROM else round(_ENLARGED * image_size))
    ground_t1 = _ground(place, label_t1, style, style.skies[0], size, rng)
    ground_t2 = _ground(place, label_t2, style, style.skies[1], size, rng)
    if place.kept_cover > 0:
        old_t2 = _ground(place, label_t1, style, style.skies[1], size, rng)
        ground_t2 = _join(ground_t2, old_t2, place.kept_cover, place, style.extent_m)
    shared = draw_tone(rng)
    return (
        photograph(ground_t1, style.skies[0], draw_tone(rng, shared), style.extent_m, image_size, rng),
        photograph(ground_t2, style.skies[1], draw_tone(rng, shared), style.extent_m, image_size, rng),
    )


def _ground(place: Place, label: int, style: Style, sky: Sky, size: int, moment: np.random.Generator) -> np.ndarray:
    """Return the ground of one date: the tile's class, and its neighbour's where the tile is mixed."""
    own = _draw(place, label, style, sky, size, moment)
    if place.other is None or place.other == label:
        return own
    return _join(own, _draw(place, place.other, style, sky, size, moment), place.other_cover, place, style.extent_m)


def _draw(place: Place, label: int, style: Style, sky: Sky, size: int, moment: np.random.Generator) -> np.ndarray:
    """Return the whole tile as land of one class, uint8 RGB (size, size, 3)."""
    palette = tile_palette(np.random.default_rng(place.seed), style, sky)
    shadow = math.radians(sky.sun_deg)
    canvas = Canvas(
        size,
        style.extent_m,
        (sky.shadow * math.cos(shadow), -sky.shadow * math.sin(shadow)),
        shade=0.40 + 0.25 * sky.haze,
    )
    plot = Plot(canvas, np.random.default_rng((place.seed, label)), moment, style, palette, place.angle)
    DRAW[CLASS_NAMES[label]](plot)
    return canvas.image_hwc


def _join(own_hwc: np.ndarray, other_hwc: np.ndarray, cover: float, place: Place, extent_m: float) -> np.ndarray:
    """Return `own_hwc` with about `cover` of it taken by `other_hwc` beyond a winding edge."""
    canvas = Canvas(own_hwc.shape[0], extent_m, (0.0, 0.0), 1.0)
    x_hw, y_hw = canvas.ground_xy
    across_hw = x_hw * math.cos(place.edge_turn) + y_hw * math.sin(place.edge_turn)
    across_hw = across_hw + 14 * canvas.noise(np.random.default_rng((place.seed, 99)), 70)
    beyond_hw = across_hw > np.quantile(across_hw[::4, ::4], 1 - cover)
    canvas.image_hwc = own_hwc
    canvas.cover(beyond_hw, other_hwc)
    return canvas.image_hwc
