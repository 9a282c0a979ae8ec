"""The official TFDS test of the builder, on `dummy_data`."""

from typing import ClassVar

import tensorflow_datasets as tfds

from tfds_builders.bigearthnet_v1 import bigearthnet_v1_dataset_builder


class BigearthnetV1Test(tfds.testing.DatasetBuilderTestCase):  # type: ignore[misc]
    DATASET_CLASS = bigearthnet_v1_dataset_builder.Builder
    BUILDER_CONFIG_NAMES_TO_TEST: ClassVar[list[str]] = ["s1_s2_19"]
    SPLITS: ClassVar[dict[str, int]] = {"train": 3, "validation": 1, "test": 1}
