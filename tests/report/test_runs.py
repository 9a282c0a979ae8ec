"""Rows are grouped by recipe, data and repetition."""

import dataclasses

from made_up_rows import change_row

from mtsccd_jax.recipes.config import Model, Optim, Recipe, to_dict
from mtsccd_jax.report.runs import group_runs, network


def test_runs_are_told_apart_by_their_recipe_and_not_by_their_seed():
    fast = to_dict(Recipe("demo", "made up", optim=Optim(learning_rate=0.5)))
    rows = [
        change_row(id="a"),
        change_row(id="b", seed=1, recipe=to_dict(Recipe("demo", "made up", seed=1))),
        change_row(id="c", recipe=fast),
        change_row(id="d", recipe=to_dict(Recipe("other", "made up"))),
        change_row(id="e", dataset="pairs:mine"),
        change_row(id="f", protocol="scene", dataset="mtsccd_lusc/official"),
    ]
    runs = group_runs(rows)
    assert [[row.id for row in run.rows] for run in runs] == [["a", "b", "f"], ["c"], ["d"], ["e"]]
    slow = "demo (learning_rate 0.1)"
    names = [f"{slow} on MtSCCD", "demo (learning_rate 0.5)", "other", f"{slow} on pairs:mine"]
    assert [run.name for run in runs] == names
    assert [[row.id for row in repeats] for repeats in runs[0].repeats] == [["a", "b"], ["f"]]
    assert runs[0].seeds == (0, 1)


def test_runs_of_one_recipe_differ_in_name_by_what_tells_them_apart():
    def row(name, **settings):
        return change_row(id=name, recipe=to_dict(Recipe("demo", "made up", optim=Optim(**settings))))

    many = [
        row("a", momentum=0.1, nesterov=True, clip_norm=1.0, warmup_epochs=1.0),
        row("b", momentum=0.1, nesterov=True, clip_norm=1.0, warmup_epochs=2.0),
        row("c", momentum=0.2),
    ]
    others = [dataclasses.replace(row("d"), dataset=name) for name in ("folder:One", "folder:Two")]
    names = [run.name for run in group_runs([*many, *others])]
    assert len(set(names)) == len(names) == 5
    assert [name.rpartition(" on ")[2] for name in names[3:]] == ["One", "Two"]


def test_rows_of_other_objectives_are_no_repetitions():
    (run,) = group_runs([change_row(objective="kappa"), change_row(id="y", objective="oa")])
    assert [len(repeats) for repeats in run.repeats] == [1, 1]


def test_networks_are_called_by_the_papers_name_only_at_its_width():
    narrow = change_row(recipe=to_dict(Recipe("stand_in", "made up", model=Model("resnet18", width=0.25))))
    names = [network(row) for row in (change_row(), narrow, change_row(recipe={}))]
    assert names == ["ResNet18", "resnet18 x0.25", "ResNet18"]
