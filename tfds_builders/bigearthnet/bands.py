"""Bands of BigEarthNet: native sizes, types, channel sets and published statistics, all as data."""

from dataclasses import dataclass

# A band's type as NumPy names it. Sentinel-2 holds surface reflectance x 10,000, Sentinel-1 backscatter in dB.
_REFLECTANCE, _BACKSCATTER = "uint16", "float32"
# Every patch covers 1,200 m x 1,200 m.
PATCH_METRES = 1200


@dataclass(frozen=True, slots=True)
class Band:
    """One band of a patch as its file has it; `shape` is (height, width) in pixels."""

    name: str
    sensor: str  # "S1" or "S2"
    shape: tuple[int, int]
    dtype: str

    @property
    def metres(self) -> int:
        """Side of a pixel, in metres."""
        return PATCH_METRES // self.shape[0]


S1_BANDS: tuple[str, ...] = ("VV", "VH")
# By wavelength; there is no B10: it sees no ground.
S2_BANDS: tuple[str, ...] = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")
RGB_BANDS: tuple[str, ...] = ("B04", "B03", "B02")  # red first
BANDS_10M: tuple[str, ...] = ("B02", "B03", "B04", "B08")
BANDS_10M_20M: tuple[str, ...] = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")

_SIDES = dict.fromkeys(S2_BANDS, 20) | dict.fromkeys(BANDS_10M_20M, 60) | dict.fromkeys(BANDS_10M, 120)
BANDS: dict[str, Band] = {
    **{name: Band(name, "S2", (side, side), _REFLECTANCE) for name, side in _SIDES.items()},
    **{name: Band(name, "S1", (120, 120), _BACKSCATTER) for name in S1_BANDS},
}

# Named sets of channels, in the order in which they are stacked.
CHANNEL_SETS: dict[str, tuple[str, ...]] = {
    "s1": S1_BANDS,
    "rgb": RGB_BANDS,
    "10m": BANDS_10M,
    "10m_20m": BANDS_10M_20M,
    "s2": S2_BANDS,
    "s1_10m_20m": S1_BANDS + BANDS_10M_20M,
    "s1_s2": S1_BANDS + S2_BANDS,
}


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Mean and standard deviation of a band over all pixels of the training split, in the unit of its file."""

    mean: float
    std: float


# BigEarthNet v1: as published with bigearthnet_common (constants), native size.
V1_STATISTICS: dict[str, BandStatistics] = {
    "B01": BandStatistics(340.77, 554.81),
    "B02": BandStatistics(429.94, 572.42),
    "B03": BandStatistics(614.22, 582.88),
    "B04": BandStatistics(590.24, 675.89),
    "B05": BandStatistics(950.68, 729.90),
    "B06": BandStatistics(1792.46, 1096.01),
    "B07": BandStatistics(2075.47, 1273.45),
    "B08": BandStatistics(2218.95, 1365.46),
    "B8A": BandStatistics(2266.46, 1356.14),
    "B09": BandStatistics(2246.06, 1302.33),
    "B11": BandStatistics(1594.43, 1079.19),
    "B12": BandStatistics(1009.33, 818.87),
    "VV": BandStatistics(-12.620, 5.116),
    "VH": BandStatistics(-19.290, 5.464),
}

# BigEarthNet v2 (reBEN): as published with ConfigILM, every band brought to 120 pixels by nearest neighbour.
V2_STATISTICS: dict[str, BandStatistics] = {
    "B01": BandStatistics(361.08, 575.07),
    "B02": BandStatistics(438.37, 607.03),
    "B03": BandStatistics(614.06, 603.30),
    "B04": BandStatistics(588.41, 684.57),
    "B05": BandStatistics(942.84, 738.43),
    "B06": BandStatistics(1769.93, 1100.46),
    "B07": BandStatistics(2049.55, 1275.81),
    "B08": BandStatistics(2193.29, 1369.37),
    "B8A": BandStatistics(2235.56, 1356.54),
    "B09": BandStatistics(2241.46, 1316.39),
    "B11": BandStatistics(1568.23, 1070.16),
    "B12": BandStatistics(997.73, 813.53),
    "VV": BandStatistics(-12.644, 5.133),
    "VH": BandStatistics(-19.353, 5.591),
}
