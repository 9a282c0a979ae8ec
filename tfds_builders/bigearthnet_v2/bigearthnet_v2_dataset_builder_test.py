"""The official TFDS test of the builder, on `dummy_data`."""

from typing import ClassVar

import tensorflow_datasets as tfds

from tfds_builders.bigearthnet_v2 import bigearthnet_v2_dataset_builder


class BigEarthNetV2Test(tfds.testing.DatasetBuilderTestCase):  # type: ignore[misc]
    DATASET_CLASS = bigearthnet_v2_dataset_builder.Builder
    BUILDER_CONFIG_NAMES_TO_TEST: ClassVar[list[str]] = ["official"]
    SPLITS: ClassVar[dict[str, int]] = {"train": 3, "validation": 2, "test": 2}
