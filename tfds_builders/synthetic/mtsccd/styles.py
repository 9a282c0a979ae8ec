"""What tells the five cities and their dates apart: building habits, field shapes, colours, season, sun and haze.

The figures are invented, but each stands for a real cause of the gap between cities: another ground sample distance,
other roofs and block sizes, another mosaic with another colour balance, another month.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sky:
    """How one city's image of one date was taken and toned."""

    green: float  # season: 0 dry and brown, 1 lush
    sun_deg: float  # where shadows point to, counter-clockwise from the right
    shadow: float  # metres of shadow per metre of height
    mean_rgb: tuple[float, float, float]  # what the mosaic was balanced to
    contrast: float  # standard deviation that the mosaic was balanced to
    saturation: float
    hue_deg: float
    haze: float
    haze_rgb: tuple[float, float, float]
    gamma: float
    blur_m: float


@dataclasses.dataclass(frozen=True)
class Style:
    """How one city is built and photographed. Lengths are factors on the generator's own, shares run from 0 to 1."""

    extent_m: float  # ground across one tile: 300 pixels at the city's ground sample distance
    angle_deg: float  # the street grid
    angle_spread_deg: float
    building: float  # size of buildings
    spacing: float  # distance between buildings
    housing: tuple[float, float, float]  # shares of slab blocks, small houses, towers
    greenery: float  # trees along streets and between buildings
    roof_rgb: tuple[tuple[int, int, int], ...]
    hall_rgb: tuple[tuple[int, int, int], ...]
    soil_rgb: tuple[int, int, int]
    water_rgb: tuple[int, int, int]
    field_m: float  # mean width of field parcels
    field_aspect: float
    greenhouses: float  # share of farmland tiles that show some
    crown_m: float
    relief: float  # brightness relief of hills
    water: tuple[float, float, float]  # shares of open water, rivers, ponds
    roads: tuple[float, float, float, float]  # shares of highways, crossings, interchanges, railways
    mixed: float  # share of tiles that cut through another land use
    other_cover: tuple[float, float]  # of such a tile; above one half the tile is ambiguous
    skies: tuple[Sky, Sky]


STYLES: dict[str, Style] = {
    "hangzhou": Style(
        extent_m=300,
        angle_deg=8,
        angle_spread_deg=14,
        building=1.0,
        spacing=1.0,
        housing=(0.45, 0.40, 0.15),
        greenery=1.0,
        roof_rgb=((150, 150, 148), (176, 172, 165), (120, 116, 112), (164, 120, 98)),
        hall_rgb=((190, 192, 194), (110, 140, 176), (160, 160, 158)),
        soil_rgb=(168, 144, 112),
        water_rgb=(72, 92, 86),
        field_m=26,
        field_aspect=3.0,
        greenhouses=0.30,
        crown_m=7.0,
        relief=0.20,
        water=(0.35, 0.35, 0.30),
        roads=(0.30, 0.30, 0.20, 0.20),
        mixed=0.14,
        other_cover=(0.20, 0.54),
        skies=(
            Sky(0.75, 70, 0.75, (104, 110, 96), 40, 0.95, 0, 0.08, (190, 200, 210), 1.00, 1.0),
            Sky(0.70, 100, 0.65, (112, 112, 108), 44, 0.85, -4, 0.05, (200, 205, 205), 0.95, 0.8),
        ),
    ),
    "shanghai": Style(
        extent_m=285,
        angle_deg=-12,
        angle_spread_deg=10,
        building=0.92,
        spacing=0.9,
        housing=(0.55, 0.25, 0.20),
        greenery=0.8,
        roof_rgb=((172, 98, 80), (150, 110, 96), (160, 158, 156), (196, 192, 186)),
        hall_rgb=((120, 146, 184), (200, 202, 204), (150, 96, 84)),
        soil_rgb=(150, 138, 120),
        water_rgb=(96, 102, 84),
        field_m=22,
        field_aspect=4.5,
        greenhouses=0.6,
        crown_m=5.5,
        relief=0.05,
        water=(0.25, 0.50, 0.25),
        roads=(0.30, 0.35, 0.20, 0.15),
        mixed=0.20,
        other_cover=(0.20, 0.56),
        skies=(
            Sky(0.95, 80, 0.35, (116, 118, 118), 38, 0.75, 6, 0.16, (205, 210, 215), 1.05, 1.2),
            Sky(0.45, 60, 1.00, (98, 100, 104), 46, 0.90, 0, 0.04, (190, 200, 215), 0.95, 0.8),
        ),
    ),
    "wuhan": Style(
        extent_m=318,
        angle_deg=22,
        angle_spread_deg=18,
        building=1.08,
        spacing=1.05,
        housing=(0.40, 0.40, 0.20),
        greenery=0.9,
        roof_rgb=((138, 136, 132), (170, 160, 150), (112, 128, 150), (186, 140, 112)),
        hall_rgb=((96, 128, 170), (176, 178, 178), (206, 204, 200)),
        soil_rgb=(176, 132, 96),
        water_rgb=(88, 108, 100),
        field_m=30,
        field_aspect=2.2,
        greenhouses=0.2,
        crown_m=6.5,
        relief=0.12,
        water=(0.50, 0.20, 0.30),
        roads=(0.35, 0.25, 0.20, 0.20),
        mixed=0.18,
        other_cover=(0.20, 0.56),
        skies=(
            Sky(0.90, 95, 0.40, (100, 108, 100), 42, 1.05, -6, 0.12, (200, 205, 200), 1.05, 1.1),
            Sky(0.85, 85, 0.55, (110, 108, 100), 42, 0.95, 3, 0.07, (205, 205, 200), 1.0, 0.9),
        ),
    ),
    "nanjing": Style(
        extent_m=338,
        angle_deg=-29,
        angle_spread_deg=16,
        building=1.06,
        spacing=1.12,
        housing=(0.55, 0.23, 0.22),
        greenery=1.0,
        roof_rgb=((126, 130, 138), (150, 136, 130), (104, 104, 108), (178, 168, 158)),
        hall_rgb=((150, 166, 186), (126, 124, 122), (186, 176, 160)),
        soil_rgb=(150, 120, 96),
        water_rgb=(66, 84, 96),
        field_m=31,
        field_aspect=2.0,
        greenhouses=0.5,
        crown_m=7.6,
        relief=0.22,
        water=(0.30, 0.45, 0.25),
        roads=(0.30, 0.20, 0.30, 0.20),
        mixed=0.30,
        other_cover=(0.20, 0.64),
        skies=(
            Sky(0.80, 115, 0.55, (101, 107, 105), 38, 0.80, 7, 0.13, (196, 208, 222), 1.08, 1.3),
            Sky(0.55, 70, 0.75, (109, 107, 101), 40, 0.85, -5, 0.09, (212, 206, 192), 1.00, 1.1),
        ),
    ),
    "hefei": Style(
        extent_m=272,
        angle_deg=34,
        angle_spread_deg=14,
        building=0.90,
        spacing=0.94,
        housing=(0.38, 0.32, 0.30),
        greenery=0.65,
        roof_rgb=((186, 180, 170), (164, 148, 132), (140, 150, 164), (192, 108, 84)),
        hall_rgb=((90, 116, 158), (196, 186, 176), (140, 148, 140)),
        soil_rgb=(182, 150, 118),
        water_rgb=(106, 110, 92),
        field_m=21,
        field_aspect=2.8,
        greenhouses=0.7,
        crown_m=5.4,
        relief=0.10,
        water=(0.30, 0.25, 0.45),
        roads=(0.27, 0.36, 0.20, 0.17),
        mixed=0.30,
        other_cover=(0.20, 0.64),
        skies=(
            Sky(0.45, 60, 0.95, (113, 110, 103), 39, 0.85, -7, 0.11, (214, 206, 192), 1.04, 1.1),
            Sky(0.62, 100, 0.70, (106, 110, 109), 44, 0.95, 5, 0.06, (198, 206, 218), 0.95, 0.9),
        ),
    ),
}


@dataclasses.dataclass(frozen=True)
class Palette:
    """The colours (RGB, 0 to 255) of one tile at one date. `*_n3` hold alternatives to draw from."""

    grass: np.ndarray
    tree: np.ndarray
    soil: np.ndarray
    water: np.ndarray
    asphalt: np.ndarray
    paving: np.ndarray
    roof_n3: np.ndarray
    hall_n3: np.ndarray
    crop_n3: np.ndarray
    track: np.ndarray


_LUSH_GRASS, _DRY_GRASS = np.array((98, 128, 66)), np.array((152, 140, 100))
_LUSH_TREE, _DRY_TREE = np.array((52, 84, 44)), np.array((104, 92, 62))
_CROPS_LUSH = np.array(((108, 146, 64), (84, 122, 60), (140, 158, 80), (96, 116, 88)))
_CROPS_DRY = np.array(((172, 150, 106), (140, 116, 86), (156, 150, 92), (118, 108, 92)))
_TRACKS = np.array(((172, 84, 70), (150, 92, 84), (96, 120, 160), (166, 124, 104)))


def tile_palette(rng: np.random.Generator, style: Style, sky: Sky) -> Palette:
    """Return the colours of one tile; the same `rng` state and another sky give the same tile in another season."""
    light = rng.normal(1.0, 0.10, size=8)
    hue = rng.normal(0.0, 7.0, size=(8, 3))
    green = float(np.clip(sky.green + rng.normal(0, 0.22), 0, 1))
    crop_green_n = np.clip(green + rng.normal(0, 0.35, size=(4, 1)), 0, 1)
    asphalt = np.array((118.0, 118.0, 120.0)) * rng.uniform(0.7, 1.25)
    paving = np.array((172.0, 168.0, 160.0)) * rng.uniform(0.72, 1.1)
    return Palette(
        grass=(_DRY_GRASS + green * (_LUSH_GRASS - _DRY_GRASS)) * light[0] + hue[0],
        tree=(_DRY_TREE + green * (_LUSH_TREE - _DRY_TREE)) * light[1] + hue[1],
        soil=np.array(style.soil_rgb) * light[2] + hue[2],
        water=np.array(style.water_rgb) * light[3] + 1.6 * hue[3],
        asphalt=asphalt + 0.4 * hue[4],
        paving=paving + 0.6 * hue[5],
        roof_n3=np.array(style.roof_rgb) * rng.normal(1.0, 0.12, size=(len(style.roof_rgb), 1)) + hue[6],
        hall_n3=np.array(style.hall_rgb) * rng.normal(1.0, 0.12, size=(len(style.hall_rgb), 1)) + hue[7],
        crop_n3=(_CROPS_DRY + crop_green_n * (_CROPS_LUSH - _CROPS_DRY)) * light[4],
        track=_TRACKS[rng.integers(len(_TRACKS))] * light[5],
    )
