"""The TFDS builder of MtSCCD_LUSC."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow_datasets as tfds

from tfds_builders.mtsccd.archive import HOMEPAGE, Listing, Scene
from tfds_builders.mtsccd.builder import MtsccdBuilder
from tfds_builders.mtsccd.names import CLASS_NAMES
from tfds_builders.mtsccd.splits import split_scenes
from tfds_builders.writing.image_shards import ArchiveExample
from tfds_builders.writing.records import Value


class Builder(MtsccdBuilder):
    """MtSCCD_LUSC: single scenes with a land-use class (section 2.2.1)."""

    SUBSET = "lusc"

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

    def _example(self, scenes: tuple[Scene, ...], city: int) -> ArchiveExample:
        (scene,) = scenes
        values: dict[str, Value] = {
            "label": scene.name.label,
            "city": city,
            "phase": scene.phase,
            "date": scene.name.date,
            "tile_x": scene.name.tile_x,
            "tile_y": scene.name.tile_y,
            "filename": scene.filename,
        }
        return ArchiveExample({"image": scene.path}, values)
