"""The configurations of `bigearthnet_v1`: which bands, which labels, which patches, which split."""

import dataclasses

import tensorflow_datasets as tfds

from tfds_builders.bigearthnet.bands import BANDS, CHANNEL_SETS, S2_BANDS
from tfds_builders.bigearthnet.label_sets import LABEL_SETS


@dataclasses.dataclass(eq=False)
class BigEarthNetV1Config(tfds.core.BuilderConfig):  # type: ignore[misc]
    """A configuration of `bigearthnet_v1`.

    `bands` are names out of `bigearthnet.bands.BANDS`, each a feature of its own; `labels` is a key of
    `bigearthnet.label_sets.LABEL_SETS`. `split` is "official" (by the archive's lists) or "random" (60 % train, 20 %
    validation, 20 % test, drawn by `seed` from the patches without snow, cloud and shadow, section 4 of the paper);
    `keep_snow_and_cloud` draws from all patches.

    Raises:
        ValueError: a band, label set or split is unknown, or `keep_snow_and_cloud` is asked of the official split.
    """

    bands: tuple[str, ...] = S2_BANDS
    labels: str = "19"
    split: str = "official"
    keep_snow_and_cloud: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [band for band in self.bands if band not in BANDS]
        if unknown or not self.bands or len(set(self.bands)) != len(self.bands):
            raise ValueError(f"bands {', '.join(self.bands)}: give each once, out of {', '.join(BANDS)}")
        if self.labels not in LABEL_SETS:
            raise ValueError(f"labels {self.labels!r}: give one of {', '.join(LABEL_SETS)}")
        if self.split not in ("official", "random"):
            raise ValueError(f"split {self.split!r}: give official or random")
        if self.keep_snow_and_cloud and self.split == "official":
            raise ValueError("keep_snow_and_cloud: the official splits have no patches with snow or cloud; use random")


def _config(
    name: str, bands: str, labels: str, *, split: str = "official", keep_snow_and_cloud: bool = False
) -> BigEarthNetV1Config:
    classes = {"19": "19 classes", "43": "43 CLC classes"}.get(labels, f"classes of CLC level {labels[-1]}")
    patches = "all patches" if keep_snow_and_cloud else "patches without snow, cloud and shadow"
    how = "official split" if split == "official" else "random 60/20/20 split"
    description = f"{len(CHANNEL_SETS[bands])} bands ({bands}), {classes}, {patches}, {how}."
    return BigEarthNetV1Config(
        name,
        description=description,
        bands=CHANNEL_SETS[bands],
        labels=labels,
        split=split,
        keep_snow_and_cloud=keep_snow_and_cloud,
    )


CONFIGS: tuple[BigEarthNetV1Config, ...] = (
    _config("official", "s2", "19"),
    _config("s2_43", "s2", "43"),
    _config("s2_clc_level_1", "s2", "clc_level_1"),
    _config("s2_clc_level_2", "s2", "clc_level_2"),
    _config("s2_10m_20m_19", "10m_20m", "19"),
    _config("s2_10m_20m_43", "10m_20m", "43"),
    _config("rgb_19", "rgb", "19"),
    _config("rgb_43", "rgb", "43"),
    _config("s1_19", "s1", "19"),
    _config("s1_43", "s1", "43"),
    _config("s1_s2_19", "s1_s2", "19"),
    _config("s1_s2_43", "s1_s2", "43"),
    _config("s1_s2_10m_20m_19", "s1_10m_20m", "19"),
    # The paper's own protocol (section 4) for S-CNN-All, and for S-CNN-RGB and Inception-v2.
    _config("random_s2_43", "s2", "43", split="random"),
    _config("random_rgb_43", "rgb", "43", split="random"),
    _config("all_patches_s2_43", "s2", "43", split="random", keep_snow_and_cloud=True),
)
