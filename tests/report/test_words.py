"""The words of the report: names, numbers and sentences that say no more than the row shows."""

import dataclasses

import pytest
from made_up_rows import change_row

from mtsccd_jax.recipes.config import Model, Optim, Recipe, to_dict
from mtsccd_jax.report import sentences, words
from tfds_builders.mtsccd import CLASSES


def scene_row(oa=(0.6, 0.5, 0.7), trivial=0.3):
    metrics = {"oa": dict(zip(("value", "low", "high"), oa, strict=True))}
    return change_row(
        protocol="scene",
        split="test_b",
        dataset="mtsccd_lusc/official",
        metrics=metrics,
        trivial=trivial,
        threshold=None,
    )


def sentence(row):
    ((_, written),) = sentences.headline(words.group_runs([row]))
    assert len(written) == 1
    return written[0]


def test_abbreviations_are_the_data_sets():
    assert {c.name: c.abbreviation for c in CLASSES} == words.ABBREVIATIONS


def test_change_sentences_say_how_the_method_stands_to_the_trivial_answer():
    good = sentence(change_row())
    assert "CFSM on Hefei (test A): kappa 0.300 (95\u202f% interval 0.200 to 0.400)" in good
    assert "calls 11 of 100 pairs changed and finds 8 of the 20 that are" in good
    assert "overall accuracy, 0.850, is above that of never saying “changed” (0.800)" in good
    worse = sentence(change_row(oa=(0.6, 0.5, 0.7)))
    assert "below that of never saying “changed” (0.800): the trivial answer wins by this measure" in worse
    alike = sentence(change_row(oa=(0.82, 0.79, 0.85)))
    assert "not distinguishable from that of never saying" in alike


def test_change_sentences_say_when_kappa_may_be_chance():
    assert "contains 0: it may be no better than chance" in sentence(change_row(kappa=(0.05, -0.02, 0.12)))
    assert "worse than chance" in sentence(change_row(kappa=(-0.2, -0.3, -0.1)))
    assert "chance" not in sentence(change_row())


def test_a_search_that_calls_nothing_changed_is_called_that():
    nothing = [[80, 0], [20, 0]]
    assert "no pair is called changed, so all 20" in sentence(change_row(confusion=nothing))
    text = sentence(change_row(threshold=None, confusion=nothing))
    assert "no threshold did better on validation than calling nothing changed" in text
    assert "all 20 changed pairs of 100 are missed" in text


def test_scene_sentences_stand_beside_the_most_frequent_class():
    good = sentence(scene_row())
    assert "On Nanjing (test B) the land use of 60.0\u202f% of 100 scenes is named correctly" in good
    assert "would score 30.0\u202f%." in good
    assert "which the interval contains" in sentence(scene_row(trivial=0.55))
    assert "worse than that" in sentence(scene_row(trivial=0.9))


def test_repetitions_are_their_mean_and_standard_deviation():
    rows = [change_row(kappa=(k, k - 0.1, k + 0.1), seed=s, id=str(s)) for s, k in enumerate((0.2, 0.3, 0.4))]
    ((title, (text,)),) = sentences.headline(words.group_runs(rows))
    assert title == ""
    assert "kappa 0.300 (mean of 3 runs, standard deviation 0.100)" in text


def test_runs_are_told_apart_by_their_recipe_and_not_by_their_seed():
    fast = to_dict(Recipe("demo", "made up", optim=Optim(learning_rate=0.5)))
    other = to_dict(Recipe("other", "made up"))
    rows = [
        change_row(id="a"),
        change_row(id="b", seed=1, recipe=to_dict(Recipe("demo", "made up", seed=1))),
        change_row(id="c", recipe=fast),
        change_row(id="d", recipe=other),
        change_row(id="e", dataset="pairs:mine"),
        change_row(id="f", protocol="scene", dataset="mtsccd_lusc/official"),
    ]
    runs = words.group_runs(rows)
    assert [[row.id for row in run.rows] for run in runs] == [["a", "b", "f"], ["c"], ["d"], ["e"]]
    assert [run.name for run in runs] == [
        "demo (learning_rate 0.1)",
        "demo (learning_rate 0.5)",
        "other",
        "demo (learning_rate 0.1)",
    ]
    assert [[row.id for row in repeats] for repeats in runs[0].repeats] == [["a", "b"], ["f"]]
    assert runs[0].seeds == (0, 1)


def test_rows_of_other_objectives_are_no_repetitions():
    (run,) = words.group_runs([change_row(objective="kappa"), change_row(id="y", objective="oa")])
    assert [len(repeats) for repeats in run.repeats] == [1, 1]


def test_networks_are_called_by_the_papers_name_only_at_its_width():
    narrow = change_row(id="n", recipe=to_dict(Recipe("stand_in", "made up", model=Model("resnet18", width=0.25))))
    whole = change_row()
    assert [words.network(row) for row in (whole, narrow)] == ["ResNet18", "resnet18 x0.25"]
    assert words.network(change_row(recipe={})) == "ResNet18"
    titles = [title for title, _ in sentences.headline(words.group_runs([whole, narrow]))]
    assert titles == ["ResNet18, demo", "resnet18 x0.25, stand_in"]


def test_names_of_splits_and_classes():
    assert words.split_name("test_a", "mtsccd_lusc/official") == "Hefei (test A)"
    assert words.split_name("test_suzhou", "mtsccd_lucd/mine") == "Suzhou (test)"
    assert words.split_name("test_a", "folder:mine") == "test a"
    assert words.split_name("validation", "mtsccd_lusc/official") == "validation"
    assert words.short_split("test_b", "mtsccd_lucd/official") == "Nanjing"
    assert words.short_class_names(["water_body", "bare_land"]) == ["WB", "BL"]
    assert words.short_class_names(["water_body", "AnnualCrop"]) == ["water body", "AnnualCrop"]
    long = words.short_class_names(["a very long class name", "a very long class tail"])
    assert len(set(long)) == 2
    assert max(map(len, long)) <= 12


@pytest.mark.parametrize(
    ("value", "text"), [(0.12345, "0.123"), (-0.5, "−0.500"), (None, "–"), (float("nan"), "–"), (0.0, "0.000")]
)
def test_numbers(value, text):
    assert words.number(value) == text


def test_the_papers_values_are_no_comparison_for_another_number_of_examples():
    small = change_row(published={"model": "ResNet18", "oa": 0.8, "kappa": 0.3})
    note = words.orientation_note([small])
    assert "test sets of 5,078 pairs; these hold 100 (Hefei)" in note
    assert "not a comparison" in note
    whole = dataclasses.replace(small, n=5078, confusion=[[4000, 145], [433, 500]])
    assert words.comparable(whole)
    assert words.orientation_note([whole, change_row()]) == ""
    drawn = dataclasses.replace(whole, generated=True)
    assert not words.comparable(drawn)
    assert "5,078 pairs; drawn by a program, 5,078 (Hefei). They stand" in words.orientation_note([drawn])


def test_distances_are_labelled_as_the_recipe_measures_them():
    assert words.distance_label(change_row()) == "Euclidean distance of unit-length features (no unit)"
    assert words.distance_label(change_row(recipe={})) == "distance of features (no unit)"


def test_drawn_images_are_said_to_be_so():
    real, drawn = change_row(id="r"), change_row(id="d", generated=True)
    assert words.generated_note([real]) == ""
    assert words.generated_note([drawn, drawn]).startswith("The images of these rows are drawn by a program")
    assert words.generated_note([drawn, real]).startswith("The images of 1 of these 2 rows are drawn by a program")
