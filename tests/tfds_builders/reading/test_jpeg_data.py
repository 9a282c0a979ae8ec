"""A block of zeros in a JPEG is found where it replaces pixels, and only there."""

import io

import numpy as np
import pytest
from archive_files import image_bytes
from PIL import Image

from mtsccd_jax.data.decode import ImageBatch
from mtsccd_jax.errors import InputError
from tfds_builders import ArchiveError
from tfds_builders.reading.images import load_image_size
from tfds_builders.reading.jpeg_data import has_hole


def with_hole(data: bytes, start: int, size: int) -> bytes:
    return data[:start] + bytes(size) + data[start + size :]


@pytest.mark.parametrize("size", [64, 512])
def test_a_lost_block_is_found_wherever_it_is(tmp_path, size):
    data = image_bytes(0, size=128)
    for start in range(700, len(data) - size - 2, len(data) // 9):
        damaged = with_hole(data, start, size)
        assert has_hole(damaged)
        (tmp_path / "a.jpg").write_bytes(damaged)
        with pytest.raises(ArchiveError, match=r"a damaged JPEG \(a block of it is overwritten with zeros\)"):
            load_image_size(str(tmp_path / "a.jpg"), "a.jpg")
        with pytest.raises(InputError, match=r"a\.jpg is a damaged JPEG"):
            ImageBatch(1, None).decode(0, damaged, "a.jpg")


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"comment": bytes(300)}])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_pictures_and_padded_headers_are_sound(value, options):
    out = io.BytesIO()
    Image.fromarray(np.full((300, 300, 3), value, np.uint8)).save(out, "JPEG", **options)
    assert not has_hole(out.getvalue())
    assert (bytes(64) in out.getvalue()) == bool(options)
