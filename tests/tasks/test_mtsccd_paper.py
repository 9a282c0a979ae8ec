"""The paper's tables beside ours: small variants, repetitions, the leak, and the audit."""

import dataclasses
from collections import Counter

import pytest
from made_up_rows import change_row
from made_up_runs import make_workdir
from reports import runs_of

from mtsccd_jax.report.published import tables
from mtsccd_jax.report.runs import recipe_name
from mtsccd_jax.report.writer import Writer
from mtsccd_jax.tasks.mtsccd_paper import audit_table, is_comparable, leak_table, orientation_note, table_6, table_7


@pytest.fixture(scope="module")
def small_variants(tmp_path_factory):
    """Rows of the paper's ResNet18 and of three narrow ones, two of them of one network; both splits of these two."""
    root = tmp_path_factory.mktemp("variants")
    made = make_workdir(root / "whole", name="whole", model="resnet18", share=0.02)
    for name, width in (("a_stand_in", 0.25), ("b_stand_in", 0.25), ("c_stand_in", 0.125)):
        made += make_workdir(root / name, name=name, model="resnet18", width=width, share=0.02)
    for name in ("a_stand_in", "b_stand_in"):
        paired = {"name": name, "model": "resnet18", "width": 0.25, "config": "paired"}
        made += make_workdir(root / f"{name}_paired", share=0.02, **paired)
    return made


def test_small_variants_are_listed_by_their_recipe_after_the_papers_networks(small_variants):
    official = runs_of([row for row in small_variants if row.dataset.endswith("/official")])
    own = ["a_stand_in", "b_stand_in", "c_stand_in"]
    first = table_6(official)
    assert [line[0].text for line in first.rows] == [*tables.TABLE_6, *own]
    assert [line[0].notes[0] for line in first.rows[-3:]] == ["resnet18 x0.25", "resnet18 x0.25", "resnet18 x0.125"]
    assert [r["recipe"] for r in first.records if r["recipe"]] == ["whole", *own]
    assert [r["test_a_paper_oa"] for r in first.records if r["recipe"]] == [0.7037, None, None, None]
    second = table_7(official)
    for method in ("cdc_1", "cfsm"):
        recipes = [r["recipe"] for r in second.records if r["method"] == method]
        papers = [network for known, network in tables.TABLE_7 if known == method]
        assert recipes == [None] * len(papers) + ["whole", *own]
    records = [r for r in second.records if r["recipe"]]
    assert all(r["test_a_paper_kappa"] is None and r["test_a_kappa"] is not None for r in records)
    assert "they are no comparison" in second.caption


def test_a_small_variant_called_like_the_papers_network_does_not_get_its_values(tmp_path):
    made = make_workdir(tmp_path, name="alexnet", model="alexnet", width=0.25, share=0.02)
    assert [row.published for row in made] == [None] * len(made)
    (record,) = table_6(runs_of(made)).records
    assert (record["network"], record["recipe"], record["test_a_paper_oa"]) == ("alexnet x0.25", "alexnet", None)
    for record in table_7(runs_of(made)).records:
        assert (record["test_a_paper_oa"], record["paper_threshold"]) == (None, None)


def test_recipes_of_one_network_have_leaks_of_their_own(small_variants, tmp_path):
    bare = [dataclasses.replace(row, artefacts={}) for row in small_variants]
    table = leak_table(Writer(tmp_path, {row.id: tmp_path for row in bare}), runs_of(bare))
    titles = [line[0].text for line in table.rows if line[0].text.startswith("Scenes")]
    assert titles == ["Scenes, resnet18 x0.25, a", "Scenes, resnet18 x0.25, b"]
    for record in table.records:
        for config in ("official", "paired"):
            (row,) = (
                row
                for row in small_variants
                if recipe_name(row) == record["recipe"]
                and row.dataset.endswith(config)
                and (row.protocol, row.split) == (record["protocol"], "test_a")
            )
            assert record[f"{config}_test_a"] == row.metrics[record["metric"]]["value"]


def test_the_audit_table_lists_what_is_impossible_and_what_is_recovered():
    records = audit_table().records
    assert len(records) == 46
    assert Counter(r["state"] for r in records) == {"impossible": 16, "no_table": 8, "possible": 22}
    assert sum(not r["possible"] for r in records) == 16
    assert sum(r["tp"] is not None for r in records) == 22


def test_the_papers_values_are_no_comparison_for_another_number_of_examples():
    small = change_row(published={"model": "ResNet18", "oa": 0.8, "kappa": 0.3})
    note = orientation_note([small])
    assert "test sets of 5,078 pairs; these hold 100 (Hefei)" in note
    assert "not a comparison" in note
    whole = dataclasses.replace(small, n=5078, confusion=[[4000, 145], [433, 500]])
    assert is_comparable(whole)
    assert orientation_note([whole, change_row()]) == ""
    drawn = dataclasses.replace(whole, generated=True)
    assert not is_comparable(drawn)
    assert "5,078 pairs; drawn by a program, 5,078 (Hefei). They stand" in orientation_note([drawn])
