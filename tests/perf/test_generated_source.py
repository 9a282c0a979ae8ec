"""Made-up data are a source as every other is."""

from dataclasses import replace

import numpy as np
import pytest

from mtsccd_jax.perf.generated_source import LABELS, GeneratedSource
from mtsccd_jax.recipes.config import Data, Model, Recipe

RECIPE = Recipe("made up", "", data=Data(image_size=24))


@pytest.mark.parametrize("task", ["scenes", "labels", "similarity"])
def test_a_batch_is_its_rows(task):
    source = GeneratedSource(replace(RECIPE, model=Model(task=task)), rows=70)
    rows = np.array([69, 0, 5, 64])
    batch = source.read(rows)
    assert set(batch) == set(source.fields) == set(source[0])
    for position, row in enumerate(rows):
        for field, value in source[int(row)].items():
            np.testing.assert_array_equal(batch[field][position], value)
    for field in source.image_fields:
        assert batch[field].shape == (4, 24, 24, 3)
        assert batch[field].dtype == np.uint8
        assert batch[field].std() > 10
    for field in set(source.fields) - set(source.image_fields):
        np.testing.assert_array_equal(source.column(field)[rows], batch[field])


def test_it_is_the_same_every_time():
    first, second = GeneratedSource(RECIPE, rows=5), GeneratedSource(RECIPE, rows=5)
    np.testing.assert_array_equal(first[3]["image"], second[3]["image"])
    assert first.fingerprint() == second.fingerprint() != GeneratedSource(RECIPE, rows=6).fingerprint()
    assert len(first) == 5
    assert first.generated
    with pytest.raises(IndexError, match="rows 5 to 5 of 5"):
        first[5]


def test_tasks_find_what_they_need():
    labels = GeneratedSource(replace(RECIPE, model=Model(task="labels")), rows=9)
    assert labels.column("labels").shape == (9, LABELS)
    assert len(labels.names["labels"]) == LABELS
    pairs = GeneratedSource(replace(RECIPE, model=Model(task="similarity")), rows=9)
    assert pairs.image_fields == ("image_t1", "image_t2")
    assert set(pairs.column("changed").tolist()) == {0, 1}
    assert pairs.class_names == pairs.names["label_t1"] == pairs.names["label_t2"]


def test_bands_have_their_own_sizes_and_types():
    data = Data(dataset="bigearthnet_v2", bands=("B02", "B05", "VV"), image_size=120, mean=(), std=())
    source = GeneratedSource(replace(RECIPE, data=data, model=Model(task="labels")), rows=3)
    assert source.image_fields == ()
    batch = source.read(np.arange(3))
    assert {name: (batch[name].shape, str(batch[name].dtype)) for name in source.band_fields} == {
        "B02": ((3, 120, 120), "uint16"),
        "B05": ((3, 60, 60), "uint16"),
        "VV": ((3, 120, 120), "float32"),
    }
