"""The page of several labels an image and of searches, and the summary at the top."""

import dataclasses
import re

import pytest
from made_up_labels import LabelMaker
from made_up_rows import change_row
from made_up_runs import make_workdir
from page_reader import read
from reports import PROTOCOLS, records, runs_of, write

from mtsccd_jax.recipes.config import Model, Recipe, to_dict
from mtsccd_jax.report import rows
from mtsccd_jax.report.summary import failures_table, headline
from mtsccd_jax.report.workdirs import Failure


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The report of two networks: (page, its rows)."""
    root = tmp_path_factory.mktemp("pages")
    LabelMaker(root / "a").multilabel()
    other = LabelMaker(root / "b", name="reben_mobilevit", model="mobilevit_s", skill=0.8)
    other.multilabel()
    other.retrieval()
    made = [row for name in "ab" for row in rows.load(root / name)]
    return write([root], tmp_path_factory.mktemp("out")), made


def test_the_page_holds_what_it_must(written):
    index, made = written
    reader = read(index)
    assert {"summary", "differences", "labels", "retrieval", "training", "provenance"} <= set(reader.ids)
    assert not {"audit", "images", "scenes", "change"} & set(reader.ids), "no row is of land use"
    for row in made:
        assert row.id in reader.text
    for sentence in (
        "Images: labels and retrieval",
        "reBEN, model cards",
        "Versions of the cards differ",
        "these hold 240",
        "Every label, BigEarthNet v2 test",
        "As in Table 3 of the BigEarthNet paper",
        "Queries and their first hits",
        "ResNet-50",
        "MobileViT-S",
        "Labels, average precision",
        "Which differences hold",
    ):
        assert sentence in reader.text, sentence
    assert "Not shown" not in reader.text
    assert sum(tag == "img" for tag, _ in reader.tags) == 8 + 4 * 7


def test_tables_stand_beside_the_page_as_files(written):
    index, made = written
    stems = {path.stem.partition("_test_")[0] for path in (index.parent / "tables").iterdir()}
    of_labels = {"labels", "published_bigearthnet_v2", "by_label", "differences_labels", "pairs_labels"}
    explained = {f"{table}_{protocol}" for table in ("meaning", "peers") for protocol in ("multilabel", "retrieval")}
    assert stems == of_labels | explained | {"retrieval", "throughput"}
    assert {r["id"] for r in records(index, "labels")} == {r.id for r in made if r.protocol == "multilabel"}
    images = {r["what"]: r["images"] for r in records(index, "throughput")}
    assert (images["multilabel"], images["retrieval"]) == ("240", "24")
    text = (index.parent / "tables" / "published_bigearthnet_v2.tex").read_text()
    assert r"ResNet-50, S1+S2 (reben\_resnet50\_all)" in text
    names = {path.name.partition("_test_")[0] for path in (index.parent / "figures").glob("*.png")}
    assert {"labels", "hits", "by_label"} <= names
    assert {"multilabel_bigearthnet_v2_ap_macro.png", "retrieval_bigearthnet_v2_map.png"} <= names


def test_a_page_of_land_use_and_searches_has_both(tmp_path):
    (scene,) = make_workdir(tmp_path / "run", share=0.02, splits=("test_a",), protocols=())
    rows.append(tmp_path / "bare", dataclasses.replace(scene, artefacts={}))
    LabelMaker(tmp_path / "search", dataset="mtsccd_lusc/official", bands=()).retrieval("test_a")
    reader = read(write([tmp_path / "bare", tmp_path / "search"], tmp_path / "out"))
    assert "Land use: scenes, change and retrieval" in reader.text
    assert {"scenes", "retrieval", "audit"} <= set(reader.ids)
    assert "labels" not in reader.ids


def test_titles_of_many_networks_on_two_splits_differ(tmp_path, capfd):
    for config, n in (("s2_43", 60), ("random_s2_43", 50)):
        for number in range(3):
            name = f"bigearthnet_v1_network_number_{number}_{config}_stand_in"
            dataset, bands = f"bigearthnet_v1/{config}", ("rgb",) if number % 2 else ("s2",)
            maker = LabelMaker(
                tmp_path / name, name=name, model="scnn", width=0.5, dataset=dataset, bands=bands, n=n, resamples=10
            )
            maker.multilabel()
    maker.retrieval()
    text = write([tmp_path], tmp_path / "out").read_text()
    assert capfd.readouterr() == ("", "")
    for pattern in ("<summary>(.*?)</summary>", "<h4>(BigEarthNet.*?)</h4>", "<li>(Best.*?)</li>"):
        titles = re.findall(pattern, text)
        assert len(set(titles)) == len(titles), pattern
    assert "Best of 3, scnn x0.5, 12 bands" in text
    assert "number 1" not in text
    assert "6 recipes, bigearthnet_v1_network_number_…_s2_43_stand_in" in text
    assert "BigEarthNet v1 test, random, labels" in text
    assert "scnn x0.5, 12 bands, random, 2" in text


def test_repetitions_are_their_mean_and_standard_deviation():
    rows = [change_row(kappa=(k, k - 0.1, k + 0.1), seed=s, id=str(s)) for s, k in enumerate((0.2, 0.3, 0.4))]
    ((title, (text,)),) = headline(runs_of(rows), PROTOCOLS)
    assert title == ""
    assert "kappa 0.300 (mean of 3 runs, standard deviation 0.100)" in text


def test_several_runs_get_titles():
    narrow = change_row(id="n", recipe=to_dict(Recipe("stand_in", "made up", model=Model("resnet18", width=0.25))))
    titles = [title for title, _ in headline(runs_of([change_row(), narrow]), PROTOCOLS)]
    assert titles == ["ResNet18, demo", "resnet18 x0.25, stand_in"]


def test_failures_are_of_recipes():
    table = failures_table([Failure("mtsccd_vgg16_stand_in", "cfsm", "test_a", 1, "too large")], PROTOCOLS)
    assert table.columns[0][0] == "Recipe"
    assert [cell.text for cell in table.rows[0]] == ["mtsccd_vgg16_stand_in", "CFSM", "Hefei", "1", "too large"]
    assert table.records[0]["recipe"] == "mtsccd_vgg16_stand_in"
