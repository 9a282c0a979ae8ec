"""Overrides are typed, unknown keys and impossible values are refused, and recipes survive JSON."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes import RECIPES
from mtsccd_jax.recipes.config import FIRST_NAMES, LATER_KEYS, flatten, from_dict, identity, override, to_dict
from mtsccd_jax.recipes.ranges import RANGES
from mtsccd_jax.recipes.settings import settings

DEMO = RECIPES["demo"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_possible_and_survives_json(name):
    recipe = RECIPES[name]
    recipe.check()
    assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe
    assert recipe.name == name


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        ("optim.learning_rate=1e-3", "optim.learning_rate", 1e-3),
        ("optim.learning_rate=1", "optim.learning_rate", 1.0),
        ("engine.epochs=3", "engine.epochs", 3),
        ("data.flip=false", "data.flip", False),
        ("optim.clip_norm=none", "optim.clip_norm", None),
        ("optim.clip_norm=2", "optim.clip_norm", 2.0),
        ("optim.freeze=stem,stages.0", "optim.freeze", ("stem", "stages.0")),
        ("data.mean=0,0.5,1", "data.mean", (0.0, 0.5, 1.0)),
        ("data.mean=0.4, 0.4, 0.4", "data.mean", (0.4, 0.4, 0.4)),
        ("engine.parallel=pmap", "engine.parallel", "pmap"),
        ("data.folder=/a=b", "data.folder", "/a=b"),
        ("seed=7", "seed", 7),
    ],
)
def test_text_becomes_the_type_of_its_key(assignment, key, value):
    recipe = override(DEMO, [assignment])
    part, _, name = key.rpartition(".")
    found = getattr(getattr(recipe, part) if part else recipe, name)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("optim.learning_rat=1", r"unknown recipe key 'optim\.learning_rat'\. Did you mean 'optim\.learning_rate'\?"),
        ("data.flip=maybe", r"data\.flip=maybe: expected true or false"),
        ("engine.parallel=jitt", r"expected one of jit, pmap\. Did you mean 'jit'\?"),
        ("engine.epochs", r"expected KEY=VALUE"),
        ("data.mean=0.5,x", r"data\.mean=x: expected number"),
    ],
)
def test_a_wrong_override_is_refused(assignment, message):
    with pytest.raises(InputError, match=message):
        override(DEMO, [assignment])


@pytest.mark.parametrize("text", ["many", "", "nan", "1_000", "0x10", "٣", "1.5", "1e3", "true", "none", "9" * 5000])
def test_an_integer_is_ascii_digits(text):
    with pytest.raises(InputError, match=rf"^engine\.epochs={text[:80]}(\.\.\.)?: expected integer$"):
        override(DEMO, [f"engine.epochs={text}"])


@pytest.mark.parametrize("text", ["many", "", "nan", "-inf", "1_0.5", "0x1p3", "١.٥", "true", "1e400", "-1e39"])
def test_a_number_is_finite_in_float32(text):
    with pytest.raises(InputError, match=r"^optim\.weight_decay=.*: expected (number|a number that float32 can hold)$"):
        override(DEMO, [f"optim.weight_decay={text}"])


def test_identity_ignores_paths_and_pacing_and_nothing_else():
    base = identity(DEMO)
    pacing = ("engine.checkpoint_every_s", "engine.steps_per_dispatch")
    for assignment in ("data.data_dir=/x", "data.input=stream", *(f"{key}=1" for key in pacing)):
        assert identity(override(DEMO, [assignment])) == base
    keys = {FIRST_NAMES.get(key, key) for key in flatten(to_dict(DEMO)) if key not in ("name", "summary")}
    changed = keys - set(base)
    assert changed == {"data.data_dir", "data.folder", "data.pairs", "data.input", *pacing, *LATER_KEYS}
    assert identity(override(DEMO, ["data.leave_out=wuhan"])) != base
    lists = [identity(override(DEMO, [f"data.exclude={place}"])) for place in ("/a/x.csv", "/b/x.csv", "/a/y.csv")]
    assert lists[0] == lists[1] != lists[2]
    assert base not in lists
    assert identity(override(DEMO, ["optim.momentum=0.8"])) != base
    assert identity(override(DEMO, ["data.folder=/x"])) != base, "a folder is not the TFDS data set"


def test_renamed_keys_are_read_by_their_first_names_and_keep_the_identity():
    stored = to_dict(DEMO)
    stored["change"]["resamples"] = stored.pop("evaluation")["resamples"] + 1
    read = from_dict(stored)
    assert read.evaluation.resamples == DEMO.evaluation.resamples + 1
    assert override(DEMO, ["change.resamples=7"]) == override(DEMO, ["evaluation.resamples=7"])
    assert "change.resamples" in identity(read)
    assert "evaluation.resamples" not in identity(read)


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        ("data.image_size=0", "must be 1 or more"),
        ("data.crop_padding=-1", "must be 0 or more"),
        ("data.crop_padding=500", "must be below data.image_size"),
        ("data.color_jitter=-0.1", "must be 0 or more and at most 1"),
        ("data.bands=B02 data.color_jitter=0.1", "bands have physical units"),
        ("data.exclude=list.csv data.leave_out=wuhan", "cities are split anew"),
        ("data.changed_above=1.1", "must be 0 or more and at most 1"),
        ("data.std=1.0,0.0,1.0", "must be above 0"),
        ("model.width=0", "must be above 0 and at most 64"),
        ("model.dropout=1", "must be 0 or more and below 1"),
        ("optim.learning_rate=0", "must be above 0"),
        ("optim.learning_rate=-0.1", "must be above 0"),
        ("optim.momentum=1", "must be 0 or more and below 1"),
        ("optim.weight_decay=-0.1", "must be 0 or more"),
        ("optim.warmup_epochs=-1", "must be 0 or more"),
        ("optim.label_smoothing=1", "must be 0 or more and below 1"),
        ("optim.clip_norm=0", "must be above 0"),
        ("engine.batch_size=0", "must be 1 or more"),
        ("engine.epochs=-1", "must be 0 or more"),
        ("engine.epochs=1000000000000000000000000000000", "at most 1,000,000"),
        ("engine.validate=false engine.patience=3", "needs validation after every epoch"),
        ("engine.validate=false engine.keep=best", "needs validation after every epoch"),
        ("engine.validate=true engine.patience=0", "must be 1 or more"),
        ("engine.checkpoint_every_s=-1", "must be 0 or more"),
        ("engine.steps_per_dispatch=0", "must be 1 or more"),
        ("scene.c=", "give at least one"),
        ("scene.c=0", "must be above 0"),
        ("retrieval.cutoffs=", "give at least one"),
        ("retrieval.cutoffs=0,5", "must be 1 or more"),
        ("change.words=0", "must be 1 or more"),
        ("change.descriptors=0", "must be 1 or more"),
        ("evaluation.resamples=0", "must be 1 or more"),
        ("similarity.width=0", "must be 1 or more"),
        ("similarity.radius=-1", "must be 0 or more"),
        ("similarity.scene_weight=-1", "must be 0 or more"),
        ("seed=-1", "must be 0 or more and below 4,294,967,296"),
        ("seed=4294967296", "must be 0 or more and below 4,294,967,296"),
    ],
)
def test_an_impossible_value_is_named_with_what_is_expected(assignments, message):
    key, _, value = assignments.split()[-1].partition("=")
    with pytest.raises(InputError, match=rf"^{key}={value}(\.0)?: .*{message}"):
        override(DEMO, assignments.split())


def test_every_number_has_a_range_that_is_shown():
    shown = {setting.key: setting.range for setting in settings(DEMO)}
    numbers = {key for key, text in shown.items() if text.startswith(("integer", "number"))}
    assert numbers == RANGES.keys() | {"data.mean"}
    assert all(str(RANGES[key]) in shown[key] for key in RANGES)


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("optim", {"learning_rate": "0.1"}, "optim.learning_rate=0.1: expected number"),
        ("optim", {"learning_rate": math.nan}, "optim.learning_rate=nan: expected a number that float32 can hold"),
        ("optim", {"learning_rate": True}, "optim.learning_rate=true: expected number, not bool"),
        ("optim", {"learning_rate": 10**400}, "optim.learning_rate=an integer of many digits: expected a number that"),
        ("engine", {"epochs": 1.0}, "engine.epochs=1.0: expected integer, not float"),
        ("engine", {"epochs": np.int64(1)}, "engine.epochs=1: expected integer, not int64"),
        ("engine", {"keep": None}, "engine.keep=none: expected one of last, best."),
        ("data", {"mean": 0.5}, "data.mean=0.5: expected numbers separated by commas, not float"),
        ("data", {"mean": (0.5, None, 0.5)}, "data.mean=none: expected number, not NoneType"),
        ("data", {"flip": 1}, "data.flip=1: expected true or false, not int"),
        ("data", {"folder": Path("x")}, "data.folder=x: expected text, not "),
    ],
)
def test_a_recipe_made_in_python_is_checked_alike(part, values, message):
    recipe = replace(DEMO, **{part: replace(getattr(DEMO, part), **values)})
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        recipe.check()


KEYS = [setting.key for setting in settings(DEMO)]
ODD = [
    "",
    " ",
    "=",
    "none",
    "nan",
    "-1",
    "0",
    "1",
    "1e400",
    "1_000",
    "0x10",
    "٣",
    "1,2",
    ",",
    "a\nb",
    "\0",
    "~",
    "gs://x",
]
TEXT = st.one_of(
    st.sampled_from(ODD),
    st.integers().map(str),
    st.floats().map(str),
    st.text(st.characters(codec=None)),
    st.sampled_from(ODD).map(lambda text: text * 2000),
)
ASSIGNMENT = st.one_of(st.tuples(st.sampled_from(KEYS), TEXT).map("=".join), st.tuples(TEXT, TEXT).map("=".join), TEXT)


@settings_of_hypothesis(max_examples=1000, deadline=None, derandomize=True, database=None)
@given(st.lists(ASSIGNMENT, min_size=1, max_size=3))
def test_any_override_gives_a_possible_recipe_or_one_line(assignments):
    try:
        recipe = override(DEMO, assignments)
    except InputError as error:
        said = str(error)
    else:
        recipe.check()
        assert from_dict(json.loads(json.dumps(to_dict(recipe)))) == recipe
        return
    assert len(said.splitlines()) == 1
    assert len(said) < 1000
