"""Names of rows are all different, and no longer than that takes."""

import pytest
from made_up_rows import change_row

from mtsccd_jax.report import unique_names

STAND_INS = [f"bigearthnet_v1_{name}_stand_in" for name in ("scnn_all_official", "scnn_all", "scnn_rgb", "vit_rgb")]


def label_row(id="x", *, name="made_up", bands=(), dataset="bigearthnet_v1/s2_43", seed=0, n=100, **fields):
    """A row of labels of a network that is in no table."""
    recipe = {"name": name, "data": {"bands": list(bands)}, "model": {"width": 0.5}}
    fields = {"model": "scnn", "objective": None, "threshold": None, "split": "test"} | fields
    return change_row(id=id, protocol="multilabel", dataset=dataset, seed=seed, n=n, recipe=recipe, **fields)


@pytest.mark.parametrize(
    ("names", "own"),
    [
        (STAND_INS, ["scnn_all_official", "scnn_all", "scnn_rgb", "vit_rgb"]),
        (STAND_INS[:2], ["official_stand_in", "stand_in"]),
        (["demo", "demo_long"], ["demo", "demo_long"]),
        (["demo", "other"], ["demo", "other"]),
        (["paper_vit", "paper_vit"], ["paper_vit", "paper_vit"]),
        (["one"], ["one"]),
        ([], []),
    ],
)
def test_what_all_names_have_in_common_is_left_out_and_none_is_empty(names, own):
    assert unique_names.without_common(names) == own


def test_a_pattern_is_what_all_names_have_in_common():
    assert unique_names.pattern(STAND_INS) == "bigearthnet_v1_…_stand_in"
    assert unique_names.pattern(["v_1_1_a", "v_1_2_a"]) == "v_1_…_a"
    assert unique_names.pattern(["demo", "other"]) == "…"


def test_rows_are_told_apart_by_the_plainest_thing_that_does():
    random = "bigearthnet_v1/random_s2_43"
    rows = [
        label_row(bands=("s2",), name=STAND_INS[0]),
        label_row(bands=("s2",), name=STAND_INS[1], dataset=random),
        label_row(bands=("B04", "B03", "B02"), name=STAND_INS[2], dataset=random),
        label_row(model="vit_base_patch8", bands=("s1",), name=STAND_INS[3], seed=3),
    ]
    expected = ["scnn x0.5, 12 bands", "scnn x0.5, 12 bands, random", "scnn x0.5, RGB", "vit_base_patch8 x0.5"]
    assert unique_names.rows_apart(rows) == expected
    named = ["scnn x0.5, 12 bands", "scnn x0.5, 12 bands, random", "scnn x0.5, RGB", "vit_base_patch8 x0.5, S1"]
    assert unique_names.rows_apart(rows, bands=True) == named
    assert unique_names.network_among(rows[1], rows) == "scnn x0.5, 12 bands, random"
    assert unique_names.network_among(rows[3], rows) == "vit_base_patch8 x0.5"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ([{"name": "a_long_b"}, {"name": "a_short_b"}], [", long", ", short"]),
        ([{"seed": 0}, {"seed": 1}], [", seed 0", ", seed 1"]),
        ([{"split": "test"}, {"split": "validation"}], [", test", ", validation"]),
        ([{"objective": None}, {"objective": "f1"}], [", from 0.5", ", best f1"]),
        ([{"bands": ("B02", "B8A")}, {"bands": ("s1_10m_20m",)}], [", B02, B8A", ", S1+S2"]),
        ([{}, {}], [", number 1", ", number 2"]),
        (
            [{"name": "a", "seed": 0}, {"name": "a", "seed": 1}, {"name": "b", "seed": 0}],
            [", a, seed 0", ", a, seed 1", ", b"],
        ),
        (
            [{"dataset": "mlrsnet/official"}, {"dataset": "mlrsnet/official_20_10_70"}],
            [", 40 % for training", ", 20 % for training"],
        ),
    ],
)
def test_each_thing_tells_rows_apart_where_it_differs(fields, told):
    rows = [label_row(**one) for one in fields]
    assert unique_names.rows_apart(rows, without_objective="from 0.5") == [f"scnn x0.5{text}" for text in told]


def test_settings_tell_recipes_of_one_name_apart():
    rows = [label_row(), label_row()]
    rows[1].recipe["model"] = {"width": 0.5, "task": "labels", "dropout": 0.25}
    names = unique_names.rows_apart(rows)
    assert len(set(names)) == 2
    assert all("number" not in name for name in names)


def test_networks_among_others_follow_their_recipes_only_where_these_differ():
    one, other = (change_row(id=name, recipe={"name": f"paper_{name}"}) for name in ("one", "other"))
    assert unique_names.network_among(one, [one]) == "ResNet18"
    assert unique_names.network_among(one, [one, other]) == "ResNet18, one"
    assert unique_names.network_among(one, [other]) == "ResNet18, one"
    assert unique_names.network_among(one, [one, change_row(protocol="cdc_1", recipe=other.recipe)]) == "ResNet18"


def test_titles_of_splits_are_told_apart_by_their_data():
    rows = [label_row(n=n, dataset=f"bigearthnet_v1/{c}_43") for n, c in ((5, "s2"), (5, "random_s2"), (7, "s2"))]
    assert unique_names.titles_apart(["a"] * 3, rows) == ["a, 5 images", "a, random", "a, 7 images"]
    assert unique_names.titles_apart(["a", "b"], rows[:2]) == ["a", "b"]
    assert unique_names.titles_apart(["a", "a"], [rows[0]] * 2) == ["a, number 1", "a, number 2"]
