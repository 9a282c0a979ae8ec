"""The configurations of `bigearthnet_v2`: which bands, whether reference maps, which patches."""

import dataclasses

import tensorflow_datasets as tfds

from tfds_builders.bigearthnet.bands import BANDS_10M, BANDS_10M_20M, RGB_BANDS, S1_BANDS, S2_BANDS

# Which patches: those of the recommended table, those with snow, clouds or shadows, or both.
PATCH_SETS = ("recommended", "all", "snow_and_cloud")


@dataclasses.dataclass(eq=False)
class BigEarthNetV2Config(tfds.core.BuilderConfig):  # type: ignore[misc]
    """A configuration of `bigearthnet_v2`.

    Bands are stored at their native size and type, whichever are chosen. Without any band a patch has its labels and,
    if asked for, its reference map.

    Args:
        s2_bands: Sentinel-2 bands.
        s1_bands: Sentinel-1 polarisations.
        reference_map: whether the reference map and the shares of its classes are stored.
        patches: one of `PATCH_SETS`.

    Raises:
        ValueError: an unknown band or set of patches.
    """

    s2_bands: tuple[str, ...] = S2_BANDS
    s1_bands: tuple[str, ...] = S1_BANDS
    reference_map: bool = False
    patches: str = "recommended"

    def __post_init__(self) -> None:
        for bands, known in ((self.s2_bands, S2_BANDS), (self.s1_bands, S1_BANDS)):
            for band in bands:
                if band not in known:
                    raise ValueError(f"{self.name}: unknown band '{band}'; there are {', '.join(known)}")
        if self.patches not in PATCH_SETS:
            raise ValueError(f"{self.name}: patches '{self.patches}'; give one of {', '.join(PATCH_SETS)}")

    @property
    def bands(self) -> tuple[str, ...]:
        """All bands, those of Sentinel-2 first."""
        return (*self.s2_bands, *self.s1_bands)


_RECOMMENDED, _ALL, _OTHERS = PATCH_SETS
_SNOWY = "the patches with snow, clouds or shadows"
CONFIGS: tuple[BigEarthNetV2Config, ...] = tuple(
    BigEarthNetV2Config(
        name,
        description=f"{what}; recommended." if patches == _RECOMMENDED else f"{what}.",
        s2_bands=s2,
        s1_bands=s1,
        reference_map=maps,
        patches=patches,
    )
    for name, s2, s1, maps, patches, what in (
        ("official", S2_BANDS, S1_BANDS, True, _RECOMMENDED, "Both sensors, all bands, reference maps"),
        ("s1_s2", S2_BANDS, S1_BANDS, False, _RECOMMENDED, "Both sensors, all bands"),
        ("s1_s2_10m_20m", BANDS_10M_20M, S1_BANDS, False, _RECOMMENDED, "Sentinel-1 and the ten 10 and 20 m bands"),
        ("s2", S2_BANDS, (), False, _RECOMMENDED, "Sentinel-2, all twelve bands"),
        ("s2_10m_20m", BANDS_10M_20M, (), False, _RECOMMENDED, "The ten Sentinel-2 bands of 10 and 20 m"),
        ("s2_10m", BANDS_10M, (), False, _RECOMMENDED, "The four Sentinel-2 bands of 10 m"),
        ("rgb", RGB_BANDS, (), False, _RECOMMENDED, "Red, green and blue of Sentinel-2"),
        ("s1", (), S1_BANDS, False, _RECOMMENDED, "Sentinel-1"),
        ("maps", (), (), True, _RECOMMENDED, "Reference maps alone"),
        ("with_snow_and_cloud", S2_BANDS, S1_BANDS, True, _ALL, f"As official, and {_SNOWY} too"),
        ("s2_with_snow_and_cloud", S2_BANDS, (), False, _ALL, "As s2, all patches"),
        ("s1_with_snow_and_cloud", (), S1_BANDS, False, _ALL, "As s1, all patches"),
        ("snow_and_cloud", S2_BANDS, S1_BANDS, True, _OTHERS, f"As official, but only {_SNOWY}"),
    )
)
