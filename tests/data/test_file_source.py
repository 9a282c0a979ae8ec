from pathlib import Path

import image_files
import numpy as np
import pytest

from mtsccd_jax.data.file_source import readable_source
from mtsccd_jax.errors import InputError


def source_of(root: Path, images: dict[str, bytes], image_size: int | None = None):
    """The images of one row, field by field."""
    for name, data in images.items():
        (root / f"{name}.tif").write_bytes(data)
    return readable_source(root, "all", {name: [f"{name}.tif"] for name in images}, {}, {}, image_size, False)


@pytest.mark.parametrize("name", ["TIFF near infrared tagged as alpha", "TIFF MINISBLACK", "PNG alpha", "JPEG CMYK"])
def test_files_are_read_by_the_rule_of_all_images(tmp_path, name):
    data, expected = image_files.sound_images()[name]
    both = source_of(tmp_path, {"image_t1": data, "image_t2": data})[0]
    for field in ("image_t1", "image_t2"):
        np.testing.assert_array_equal(both[field], expected)


def test_both_images_of_a_pair_have_one_size(tmp_path):
    images = {"image_t1": image_files.tiff(), "image_t2": image_files.tiff(image_files.scene()[:9])}
    with pytest.raises(InputError, match=r"image_t1\.tif is 24x18 and .*image_t2\.tif is 24x9 pixels; set data.image_"):
        source_of(tmp_path, images)[0]
    assert source_of(tmp_path, images, 8)[0]["image_t2"].shape == (8, 8, 3)
