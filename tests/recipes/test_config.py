"""Overrides are typed, unknown keys and impossible values are refused, and recipes survive JSON."""

import json

import pytest

from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes import RECIPES
from mtsccd_jax.recipes.config import FIRST_NAMES, flatten, from_dict, identity, override, to_dict

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
        ("engine.epochs=many", r"engine\.epochs=many: expected a value of type int"),
        ("engine.epochs=1.5", r"engine\.epochs=1\.5: expected a value of type int"),
        ("data.flip=maybe", r"data\.flip=maybe: expected a value of type bool"),
        ("engine.parallel=jitt", r"expected one of jit, pmap\. Did you mean 'jit'\?"),
        ("engine.epochs", r"expected KEY=VALUE"),
    ],
)
def test_a_wrong_override_is_refused(assignment, message):
    with pytest.raises(InputError, match=message):
        override(DEMO, [assignment])


def test_identity_ignores_paths_and_pacing_and_nothing_else():
    base = identity(DEMO)
    pacing = ("engine.checkpoint_every_s", "engine.steps_per_dispatch")
    for assignment in ("data.data_dir=/x", "data.input=stream", *(f"{key}=1" for key in pacing)):
        assert identity(override(DEMO, [assignment])) == base
    keys = {FIRST_NAMES.get(key, key) for key in flatten(to_dict(DEMO)) if key not in ("name", "summary")}
    changed = keys - set(base)
    assert changed == {"data.data_dir", "data.folder", "data.pairs", "data.input", *pacing}
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
        ("data.crop_padding=-1", "must be 0 or more and below data.image_size"),
        ("data.crop_padding=500", "must be 0 or more and below data.image_size"),
        ("data.bands=B02 data.color_jitter=0.1", "bands have physical units"),
        ("optim.label_smoothing=1", "must be 0 or more and below 1"),
        ("engine.validate=false engine.patience=3", "needs validation after every epoch"),
        ("engine.validate=false engine.keep=best", "needs validation after every epoch"),
        ("engine.validate=true engine.patience=0", "must be 1 epoch or more"),
        ("engine.steps_per_dispatch=0", "must be 1 or more"),
        ("scene.c=", "penalties above 0"),
        ("scene.c=0", "penalties above 0"),
        ("retrieval.cutoffs=", "lengths of at least 1"),
        ("retrieval.cutoffs=0,5", "lengths of at least 1"),
        ("change.words=0", "at least one word"),
        ("evaluation.resamples=0", "an interval needs 1 or more"),
        ("similarity.width=0", "must be positive"),
        ("similarity.radius=-1", "must not be negative"),
        ("similarity.scene_weight=-1", "must not be negative"),
    ],
)
def test_an_impossible_value_is_named_with_what_is_expected(assignments, message):
    recipe = override(DEMO, assignments.split())
    key, _, value = assignments.split()[-1].partition("=")
    with pytest.raises(InputError, match=rf"^{key}={value}(\.0)?: .*{message}"):
        recipe.check()
