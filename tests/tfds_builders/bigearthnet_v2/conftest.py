"""What several files of tests look at: the official tables."""

import pytest

from tfds_builders.bigearthnet_v2.metadata import TABLES, Metadata, read_metadata


@pytest.fixture(scope="session")
def official(real_data) -> Metadata:
    """All 549,488 rows of the official tables."""
    return read_metadata({name: real_data / "bigearthnet_v2" / name for name in TABLES})
