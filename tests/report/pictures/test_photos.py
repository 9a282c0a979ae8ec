"""Photographs come out where and as they belong."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from mtsccd_jax.report.pictures import photos


@pytest.mark.parametrize(("size", "expected"), [(40, 40), (300, photos.THUMB)])
def test_thumbnails_are_data_uris_of_at_most_the_size_of_a_thumbnail(size, expected):
    uri = photos.data_uri(np.full((size, size, 3), 90, np.uint8))
    assert uri.startswith("data:image/jpeg;base64,")
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        assert image.size == (expected, expected)
        assert abs(np.asarray(image).astype(int) - 90).max() <= 2
