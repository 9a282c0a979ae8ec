"""The official TFDS test of the builder, on `dummy_data`."""

from typing import ClassVar

import tensorflow_datasets as tfds

from tfds_builders.mlrsnet import mlrsnet_dataset_builder


class MlrsnetTest(tfds.testing.DatasetBuilderTestCase):  # type: ignore[misc]
    DATASET_CLASS = mlrsnet_dataset_builder.Builder
    BUILDER_CONFIG_NAMES_TO_TEST: ClassVar[list[str]] = ["official", "corrected"]
    SPLITS: ClassVar[dict[str, int]] = {"train": 8, "validation": 2, "test": 10}
