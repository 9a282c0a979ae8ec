"""Draw patches of land as both Sentinels might see it: a map of 19 land-cover classes, and bands that follow from it.

Each class has a spectrum; a patch shifts them all (season, haze), each class in a patch some more (crops differ from
field to field), and every pixel has noise. Classes that are hard to tell apart in truth (the three forests, the kinds
of farmland) lie close together here too, so that a small network learns much of it and never all.
"""

import math

import numpy as np

from tfds_builders.bigearthnet.bands import BANDS, S1_BANDS, S2_BANDS
from tfds_builders.bigearthnet.nomenclature import CLASSES_19

SIDE = 120  # pixels of 10 m
# Reflectance x 10,000 in the twelve bands of Sentinel-2 by wavelength, then VV and VH in dB, by class of the 19.
_SPECTRA: dict[str, tuple[float, ...]] = {
    "Urban fabric": (900, 1000, 1150, 1250, 1400, 1650, 1800, 1900, 1950, 2000, 2100, 1900, -7.0, -14.0),
    "Industrial or commercial units": (
        (1300, 1500, 1650, 1750, 1850, 1950, 2050, 2150, 2150, 2200, 2350, 2200, -4.0, -12.0)
    ),
    "Arable land": (500, 600, 850, 950, 1300, 2000, 2250, 2350, 2450, 2500, 2500, 1900, -12.0, -19.0),
    "Permanent crops": (450, 520, 750, 850, 1200, 1900, 2150, 2250, 2350, 2400, 2400, 1700, -11.0, -17.0),
    "Pastures": (350, 400, 700, 500, 1100, 2700, 3300, 3400, 3550, 3500, 2100, 1150, -12.5, -19.5),
    "Complex cultivation patterns": (
        (430, 500, 780, 750, 1200, 2250, 2600, 2700, 2800, 2800, 2300, 1500, -11.0, -17.5)
    ),
    "Land principally occupied by agriculture, with significant areas of natural vegetation": (
        (380, 430, 680, 620, 1100, 2150, 2550, 2650, 2750, 2750, 2050, 1250, -11.0, -17.0)
    ),
    "Agro-forestry areas": (420, 480, 700, 800, 1150, 1850, 2050, 2150, 2250, 2300, 2450, 1750, -11.5, -17.5),
    "Broad-leaved forest": (280, 300, 520, 330, 800, 2500, 3200, 3300, 3450, 3400, 1650, 750, -10.0, -15.5),
    "Coniferous forest": (220, 230, 350, 260, 500, 1350, 1600, 1700, 1750, 1750, 850, 420, -10.5, -16.0),
    "Mixed forest": (250, 260, 430, 290, 640, 1850, 2300, 2400, 2500, 2450, 1200, 560, -10.2, -15.8),
    "Natural grassland and sparsely vegetated areas": (
        (400, 470, 720, 700, 1150, 2000, 2250, 2350, 2450, 2450, 2350, 1500, -12.0, -19.0)
    ),
    "Moors, heathland and sclerophyllous vegetation": (
        (350, 380, 560, 550, 900, 1600, 1800, 1900, 2000, 2050, 1850, 1150, -12.0, -18.0)
    ),
    "Transitional woodland, shrub": (320, 350, 550, 450, 850, 1900, 2250, 2350, 2450, 2450, 1700, 900, -11.0, -16.8),
    "Beaches, dunes, sands": (1900, 2100, 2450, 2700, 2850, 2950, 3050, 3100, 3150, 3150, 3400, 2900, -15.0, -23.0),
    "Inland wetlands": (330, 360, 520, 500, 800, 1450, 1650, 1700, 1800, 1850, 1500, 850, -12.5, -18.5),
    "Coastal wetlands": (450, 500, 680, 650, 850, 1300, 1450, 1500, 1550, 1550, 1250, 750, -13.0, -21.0),
    "Inland waters": (350, 330, 370, 250, 230, 200, 190, 170, 160, 150, 90, 60, -19.0, -25.0),
    "Marine waters": (450, 400, 330, 180, 150, 130, 130, 110, 100, 100, 60, 40, -17.0, -26.0),
}
# Bare and built ground, for what the 19 classes leave out (roads, quarries, rock), and snow and clouds.
_GROUND = (1000, 1150, 1350, 1500, 1650, 1800, 1900, 2000, 2050, 2100, 2300, 2050, -10.0, -17.0)
_SNOW = (8200, 8300, 8000, 7800, 7600, 7300, 7100, 7000, 6900, 6500, 900, 800)
_CLOUD = (5200, 5300, 5200, 5300, 5400, 5500, 5600, 5700, 5700, 5000, 4300, 3300)
GROUND_INDEX = len(CLASSES_19)
_SPECTRUM_KB = np.array([*(_SPECTRA[name] for name in CLASSES_19), _GROUND])
_PATCH_SPREAD, _CLASS_SPREAD, _PIXEL_SPREAD = 0.12, 0.22, 0.10  # relative, of reflectances
_CLASS_SPREAD_DB, _PIXEL_SPREAD_DB = 1.2, 1.6


def draw_regions(classes: list[int], rng: np.random.Generator) -> np.ndarray:
    """Return a map (uint8, (120, 120)) that shows each of `classes` and nothing else, with ragged edges."""
    seeds = [index for index in classes for _ in range(int(rng.integers(1, 4)))]
    place_n = rng.choice(SIDE * SIDE, size=len(seeds), replace=False)
    row_n, column_n = np.divmod(place_n, SIDE)
    row_hw, column_hw = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    first, second, swing = (float(value) for value in rng.uniform((0, 0, 2), (2 * math.pi, 2 * math.pi, 7)))
    warped_row_hw = row_hw + swing * np.sin(column_hw / 11 + first)
    warped_column_hw = column_hw + swing * np.sin(row_hw / 13 + second)
    nearest_hw = np.full((SIDE, SIDE), np.inf, np.float32)
    index_hw = np.zeros((SIDE, SIDE), np.uint8)
    for index, row, column in zip(seeds, row_n.tolist(), column_n.tolist(), strict=True):
        distance_hw = (warped_row_hw - warped_row_hw[row, column]) ** 2
        distance_hw += (warped_column_hw - warped_column_hw[row, column]) ** 2
        closer_hw = distance_hw < nearest_hw
        nearest_hw[closer_hw] = distance_hw[closer_hw]
        index_hw[closer_hw] = index
    index_hw[row_n, column_n] = seeds  # where two seeds are shifted to one place, both classes are seen all the same
    return index_hw


def render_bands(
    index_hw: np.ndarray, rng: np.random.Generator, *, snow: bool = False, cloud: bool = False
) -> dict[str, np.ndarray]:
    """Return all bands by name, at native size and type (uint16 reflectance x 10,000; float32 dB), of a map.

    `index_hw` holds indices in `CLASSES_19`, and `GROUND_INDEX` for ground that is in none of them.
    """
    light = math.exp(rng.normal(0, _PATCH_SPREAD))
    gain_k = light * np.exp(rng.normal(0, _CLASS_SPREAD, len(_SPECTRUM_KB)))
    shift_k = rng.normal(0, _CLASS_SPREAD_DB, len(_SPECTRUM_KB))
    cover_hw = _cover(rng) if cloud else np.full((SIDE, SIDE), 0.75, np.float32) if snow else None
    cover_b = _CLOUD if cloud else _SNOW
    bands = {}
    for at, name in enumerate(S2_BANDS):
        field_hw = (gain_k * _SPECTRUM_KB[:, at]).astype(np.float32)[index_hw]
        if cover_hw is not None:
            field_hw += cover_hw * (cover_b[at] - field_hw)
        field_hw = _block_means(field_hw, BANDS[name].shape[0])
        field_hw *= 1 + _PIXEL_SPREAD * rng.standard_normal(field_hw.shape, dtype=np.float32)
        bands[name] = np.clip(field_hw + 0.5, 1, 65535).astype(np.uint16)  # 0 is "no data"
    for at, name in enumerate(S1_BANDS, start=len(S2_BANDS)):
        field_hw = (_SPECTRUM_KB[:, at] + shift_k).astype(np.float32)[index_hw]
        field_hw += _PIXEL_SPREAD_DB * rng.standard_normal(field_hw.shape, dtype=np.float32)
        bands[name] = field_hw
    return bands


def _block_means(field_hw: np.ndarray, side: int) -> np.ndarray:
    step = SIDE // side
    return field_hw if step == 1 else field_hw.reshape(side, step, side, step).mean(axis=(1, 3))


def _cover(rng: np.random.Generator) -> np.ndarray:
    """Return how much of each pixel (0 to 1) a cloud hides."""
    row, column, radius = (float(value) for value in rng.uniform((0, 0, 25), (SIDE, SIDE, 70)))
    row_hw, column_hw = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    cover_hw: np.ndarray = np.exp(-((row_hw - row) ** 2 + (column_hw - column) ** 2) / radius**2)
    return cover_hw
