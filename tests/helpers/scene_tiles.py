"""A small TFDS data set with the features of the published interface."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

CLASSES = ("residential_land", "water_body", "woodland")
ROWS = {"train": 37, "test_a": 5}
SIDE = 24


def encoded(seed: int, side: int = SIDE, form: str = "JPEG") -> bytes:
    """Return a textured image: smooth enough for JPEG, different for every seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    file = io.BytesIO()
    coarse.resize((side, side), Image.Resampling.BICUBIC).save(file, form)
    return file.getvalue()


class SceneTiles(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Scenes and pairs in one row, so that one build serves all tests."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "image_t2": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=CLASSES),
                    "date": tfds.features.Text(),
                    "filename": tfds.features.Text(),
                    "ground_m": tfds.features.Scalar(np.float32),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in ROWS}

    def _generate_examples(self, split):
        for row in range(ROWS[split]):
            images = {"image": encoded(row), "image_t2": encoded(row + 1000, form="PNG")}
            texts = {"date": "202009", "filename": f"hz_202009_{row}_0_1.jpg"}
            files = {field: io.BytesIO(image) for field, image in images.items()}
            yield row, {**files, **texts, "label": row % len(CLASSES), "ground_m": 1.2}
