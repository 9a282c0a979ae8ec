"""The contract of every source, whatever it reads from."""

import numpy as np
import pytest


def check_source(source) -> None:
    """Assert that batches, columns and rows of a source agree, and that it refuses rows and columns it lacks."""
    rows = np.array([len(source) - 1, 0, 0, len(source) // 2])
    batch = source.read(rows)
    assert set(batch) == set(source.fields) == set(source[0])
    for position, row in enumerate(rows):
        for field, value in source[int(row)].items():
            np.testing.assert_array_equal(batch[field][position], value)
    for field in source.fields:
        if field in (*source.image_fields, *source.band_fields):
            with pytest.raises(KeyError):
                source.column(field)
        else:
            np.testing.assert_array_equal(source.column(field)[rows], batch[field])
    for field in source.image_fields:
        assert batch[field].dtype == np.uint8
        assert batch[field].shape[3:] == (3,)
    with pytest.raises(IndexError):
        source[len(source)]
    with pytest.raises(KeyError):
        source.column("no such field")
    assert source.fingerprint() == source.fingerprint()
