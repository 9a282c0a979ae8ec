"""The official TFDS test of the builder, on `dummy_data`."""

import tensorflow_datasets as tfds

from tfds_builders.mlrsnet import mlrsnet_dataset_builder


class MlrsnetTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = mlrsnet_dataset_builder.Builder
    BUILDER_CONFIG_NAMES_TO_TEST = ["official", "corrected"]  # noqa: RUF012
    SPLITS = {"train": 8, "validation": 2, "test": 10}  # noqa: RUF012

    def _download_and_prepare_as_dataset(self, builder):
        super()._download_and_prepare_as_dataset(builder)
        source = builder.as_data_source("test")
        by_tf = list(tfds.as_numpy(builder.as_dataset(split="test")))
        assert [e["filename"] for e in source] == [e["filename"] for e in by_tf]
        assert all((one["labels"] == other["labels"]).all() for one, other in zip(source, by_tf, strict=True))


if __name__ == "__main__":
    tfds.testing.test_main()
