"""The TFDS builder of MtSCCD_LUSC."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.mtsccd import CLASS_NAMES
from tfds_builders.mtsccd.archive import HOMEPAGE, Listing, Scene
from tfds_builders.mtsccd.builder import MtsccdBuilder
from tfds_builders.mtsccd.splits import split_scenes
from tfds_builders.writing.records import Value


class Builder(MtsccdBuilder):
    """MtSCCD_LUSC: single scenes with a land-use class (section 2.2.1)."""

    SUBSET = "lusc"
    IMAGE_FEATURES = ("image",)
    VALUE_FEATURES = ("label", "city", "phase", "date", "tile_x", "tile_y", "filename")

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=list(CLASS_NAMES)),
                    "city": tfds.features.ClassLabel(names=self._city_names()),
                    "phase": tfds.features.Scalar(np.int32),
                    "date": tfds.features.Text(),
                    "tile_x": tfds.features.Scalar(np.int32),
                    "tile_y": tfds.features.Scalar(np.int32),
                    "filename": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "label"),
            homepage=HOMEPAGE,
        )

    def _split(self, listing: Listing) -> Mapping[str, Sequence[tuple[Scene, ...]]]:
        config = self.builder_config
        splits = split_scenes(listing, paired=config.paired, seed=config.seed)
        return {split: [(scene,) for scene in scenes] for split, scenes in splits.items()}

    def _values(self, scenes: tuple[Scene, ...], city: int) -> tuple[Value, ...]:
        (scene,) = scenes
        name = scene.name
        return name.label, city, scene.phase, name.date, name.tile_x, name.tile_y, scene.filename
