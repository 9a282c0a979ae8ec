"""The page on certainty: sentences, tables, charts and the list of what to look at first."""

import dataclasses
import math

import pytest
from made_up_certainty import CertaintyMaker, make_certainty
from page_reader import read
from reports import records, runs_of, sentence, write, writer_of

from mtsccd_jax.recipes.config import Certainty
from mtsccd_jax.report import rows
from mtsccd_jax.tasks.certainty.report import certainty_section
from mtsccd_jax.tasks.certainty.words import fewest_for_sets, where


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The rows of a network by method and split, and the folder of its work directory. Not to be written to."""
    root = tmp_path_factory.mktemp("certainty")
    return make_certainty(root / "run"), root


@pytest.fixture(scope="module")
def page(made, tmp_path_factory):
    return write([made[1] / "run"], tmp_path_factory.mktemp("report"))


def test_the_page_says_what_is_lost_out_of_city(made, page):
    row = made[0]["cfsm", "test_a"]
    found = read(page).text
    value, low, high = (100 * row.metrics["coverage"][name] for name in ("value", "low", "high"))
    said = f"CFSM on Hefei (test A) (out of city): asked 90 %, the sets hold {value:.1f} % [{low:.1f}, {high:.1f}]"
    assert said in found.replace("\u202f", " ")
    assert row.metrics["coverage_lost"]["low"] > 0
    assert f"{100 * row.metrics['coverage_lost']['value']:.1f} points less" in found
    assert "CFSM on validation (in city)" in found
    assert "points less" not in sentence(made[0]["cfsm", "validation"])


def test_the_page_has_a_diagram_of_every_split_and_method(page):
    names = {path.name for path in (page.parent / "figures").iterdir()}
    for method in ("scene", "cfsm"):
        for split in ("validation", "test_a"):
            assert sum(name.startswith(f"reliability_{method}_certainty_{split}") for name in names) == 2, "SVG and PNG"
        for chart in ("coverage", "risk"):
            assert sum(name.startswith(f"{chart}_{method}_certainty") for name in names) == 2


def test_the_tables_hold_the_rows(made, page):
    for table in ("certainty_sets", "certainty_calibration"):
        lines = {line["id"]: line for line in records(page, table)}
        for row in made[0].values():
            assert float(lines[row.id]["ece"]) == pytest.approx(row.metrics["ece"]["value"])
            assert float(lines[row.id]["coverage_low"]) == pytest.approx(row.metrics["coverage"]["low"])


def test_the_first_of_the_list_are_shown_with_their_truth(made, tmp_path):
    every, root = made
    row = every["cfsm", "test_a"]
    (section,) = certainty_section(writer_of(root, tmp_path), runs_of([row]))
    (fold,) = section.blocks[-1].content
    found = rows.load_artefact(root / "run", row, "look")
    html = fold.blocks[0].content
    assert html.count("<img") == 2 * len(found["row"]) == 24
    assert html.count('class="wrong"') == (found["answer"] != found["truth"]).sum()
    assert f"{100 * found['probability'][0]:.0f}\u202f% change" in html
    without = dataclasses.replace(row, artefacts={})
    (section,) = certainty_section(writer_of(root, tmp_path), runs_of([without]))
    (fold,) = section.blocks[-1].content
    assert "names no “look” artefact" in fold.blocks[0].content


def test_rows_of_other_settings_are_no_repetitions(made):
    row = made[0]["cfsm", "test_a"]
    other = dataclasses.replace(row, id="other", recipe=row.recipe | {"certainty": {"coverage": 0.5}})
    again = dataclasses.replace(row, id="again", seed=1)
    (run,) = runs_of([row, other, again])
    assert [[member.id for member in repeats] for repeats in run.repeats] == [[row.id, "again"], ["other"]]
    assert "mean of 2 runs" not in sentence(row)


def test_what_few_examples_do_not_tell_is_said(tmp_path):
    row = CertaintyMaker(tmp_path / "run", certainty=Certainty(coverage=0.95)).make("cfsm", "validation", n=28)
    said = sentence(row)
    assert "no set can be told: that needs at least 19 known examples of each kind of pair" in said
    assert said.endswith("28 pairs are too few to tell a calibration error.")
    (section,) = certainty_section(writer_of(tmp_path, tmp_path / "out"), runs_of([row]))
    assert section.blocks[1].content == [], "no chart of sets that nobody can tell"
    assert section.blocks[2].content[0].rows[0][2].notes == ("too few known examples",)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_the_fewest_examples_for_a_set(coverage):
    by_search = next(n for n in range(1, 1000) if math.ceil(round((n + 1) * coverage, 9)) <= n)
    assert fewest_for_sets(coverage) == by_search


def test_the_place_of_a_row(made):
    row = made[0]["cfsm", "test_a"]
    assert where(row) == "out of city"
    left_out = row.recipe | {"data": row.recipe["data"] | {"leave_out": "wuhan"}}
    assert where(dataclasses.replace(row, split="test_wuhan", recipe=left_out)) == "out of city"
    assert where(dataclasses.replace(row, split="test_hefei", recipe=left_out)) == "in city"
    assert where(dataclasses.replace(row, dataset="folder:eurosat")) == "fitted on validation"
    assert where(dataclasses.replace(made[0]["cfsm", "validation"], dataset="folder:x")) == "cross-fitted"
