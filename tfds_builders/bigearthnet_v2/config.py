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
        name: of the configuration.
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


def _config(
    name: str,
    description: str,
    s2: tuple[str, ...],
    s1: tuple[str, ...],
    maps: bool = False,
    patches: str = "recommended",
) -> BigEarthNetV2Config:
    return BigEarthNetV2Config(
        name, description=description, s2_bands=s2, s1_bands=s1, reference_map=maps, patches=patches
    )


CONFIGS: tuple[BigEarthNetV2Config, ...] = (
    _config("official", "Both sensors, all bands, reference maps; recommended.", S2_BANDS, S1_BANDS, maps=True),
    _config("s1_s2", "Both sensors, all bands; recommended.", S2_BANDS, S1_BANDS),
    _config("s1_s2_10m_20m", "Sentinel-1 and the ten 10 and 20 m bands; recommended.", BANDS_10M_20M, S1_BANDS),
    _config("s2", "Sentinel-2, all twelve bands; recommended.", S2_BANDS, ()),
    _config("s2_10m_20m", "The ten Sentinel-2 bands of 10 and 20 m; recommended.", BANDS_10M_20M, ()),
    _config("s2_10m", "The four Sentinel-2 bands of 10 m; recommended.", BANDS_10M, ()),
    _config("rgb", "Red, green and blue of Sentinel-2; recommended.", RGB_BANDS, ()),
    _config("s1", "Sentinel-1; recommended.", (), S1_BANDS),
    _config("maps", "Reference maps alone; recommended.", (), (), maps=True),
    _config(
        "with_snow_and_cloud",
        "As official, and the patches with snow, clouds or shadows too.",
        S2_BANDS,
        S1_BANDS,
        maps=True,
        patches="all",
    ),
    _config("s2_with_snow_and_cloud", "As s2, all patches.", S2_BANDS, (), patches="all"),
    _config("s1_with_snow_and_cloud", "As s1, all patches.", (), S1_BANDS, patches="all"),
    _config(
        "snow_and_cloud",
        "As official, but only the patches with snow, clouds or shadows.",
        S2_BANDS,
        S1_BANDS,
        maps=True,
        patches="snow_and_cloud",
    ),
)
