"""Generated data are a source as every other is."""

from dataclasses import replace

import numpy as np
import pytest
from source_contract import check_source

from mtsccd_jax.perf.generated_source import LABELS, GeneratedSource
from mtsccd_jax.recipes.config import Data, Model, Recipe

RECIPE = Recipe("generated", "", data=Data(image_size=24))


@pytest.mark.parametrize("task", ["scenes", "labels", "similarity"])
def test_it_is_a_source_of_any_number_of_rows(task):
    source = GeneratedSource(replace(RECIPE, model=Model(task=task)), rows=70)
    check_source(source)
    assert len(source) == 70
    assert source.generated
    assert all(source[69][field].shape == (24, 24, 3) for field in source.image_fields)
    assert all(source[69][field].std() > 10 for field in source.image_fields)


def test_it_is_the_same_every_time():
    first, second = GeneratedSource(RECIPE, rows=5), GeneratedSource(RECIPE, rows=5)
    np.testing.assert_array_equal(first[3]["image"], second[3]["image"])
    assert first.fingerprint() == second.fingerprint() != GeneratedSource(RECIPE, rows=6).fingerprint()
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
    check_source(source)
    assert source.image_fields == ()
    assert {name: (source[0][name].shape, str(source[0][name].dtype)) for name in source.band_fields} == {
        "B02": ((120, 120), "uint16"),
        "B05": ((60, 60), "uint16"),
        "VV": ((120, 120), "float32"),
    }
