"""The page stands alone, is well formed, holds what it must, and says what is missing in its place."""

import dataclasses
import re
import shutil
from xml.etree import ElementTree

import pytest
from made_up_runs import make_reproduction
from page_reader import read
from reports import records, write

from mtsccd_jax.errors import InputError
from mtsccd_jax.report import page, rows, workdirs
from mtsccd_jax.report.meaning.definitions import Definition, Definitions
from mtsccd_jax.report.page import put_together
from mtsccd_jax.report.published.tables import TABLE_7
from mtsccd_jax.report.runs import run_name
from mtsccd_jax.report.sections import Block, Figure, Fold, Place, Protocol, Section, TaskReport
from mtsccd_jax.tasks.reports import REPORTS


@pytest.fixture(scope="module")
def parsed(index):
    return read(index)


def test_every_section_is_there(parsed):
    assert {"summary", "scenes", "change", "images", "training", "audit", "provenance"} <= set(parsed.ids)


def test_the_page_asks_for_nothing_beyond_itself(index, parsed):
    text = index.read_text(encoding="utf-8")
    assert not re.search(r"https?:", text)
    assert not re.search(r"@import|<script|<iframe|<object|<embed", text)
    for _, attrs in parsed.tags:
        for name in ("src", "href", "xlink:href"):
            assert attrs.get(name, "#").startswith(("#", "data:")), attrs
    assert all(link.startswith("#") for link in re.findall(r"url\(([^)]*)\)", text))


def test_every_picture_is_described(parsed):
    images = [attrs for tag, attrs in parsed.tags if tag == "img"]
    charts = [attrs for tag, attrs in parsed.tags if tag == "svg"]
    assert len(images) == 40 + 2 * 16 * 2, "scenes of two cities, and the same pairs for both methods of each"
    assert len(charts) >= 15
    assert all(attrs.get("role") == "img" and attrs.get("aria-label") for attrs in charts)


def test_the_page_holds_what_it_must(workdir, parsed):
    text = parsed.text
    for row in rows.load(workdir):
        assert f"{row.metrics['kappa']['value']:.3f}" in text
        assert row.id in text
        assert row.checksums["artefacts"]["predictions"] in text
    for sentence in (
        "On Hefei (test A) the land use of",
        "CFSM on Nanjing (test B): kappa",
        "never saying “changed”",
        "16 of the 46 kappas",
        "5 entries have exactly the overall accuracy",
        "Truth",
        "CFSM ResNet101",
        "of 16 right",
        "Which differences hold",
        "McNemar's exact test",
        "as in the paper's Figure 4",
        "the paper's Table 5",
        "From-to right in",
        "Residential land",
        "PSCL",
        "Hefei T2",
        "Loss, ResNet101",
        "Throughput, ResNet101",
        "best kappa",
        "1 x NVIDIA H200",
        "optim.learning_rate",
        "1f0c9a7be214",
    ):
        assert sentence in text, sentence
    assert "Not shown" not in text


def test_figures_and_tables_stand_beside_the_page(index, workdir):
    charts = list((index.parent / "figures").glob("*.svg"))
    assert len(charts) >= 15
    for path in charts:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    names = {path.stem for path in (index.parent / "figures").glob("*.png")}
    assert {path.stem for path in charts} < names
    assert {name.partition("_")[0] for name in names - {path.stem for path in charts}} == {"scenes", "verdicts"}
    tables = {path.name for path in (index.parent / "tables").iterdir()}
    stems = {name.partition(".")[0] for name in tables}
    assert {"scene", "change", "throughput", "published_table7", "table6", "table7"} <= stems
    assert tables == {f"{stem}.{suffix}" for stem in stems for suffix in ("csv", "md", "tex")}
    scenes = {row.id for row in rows.load(workdir) if row.protocol == "scene"}
    assert {record["id"] for record in records(index, "scene")} == scenes
    assert not [path for path in index.parent.rglob("*") if path.name.startswith(".")]


def test_missing_and_foreign_artefacts_are_said_so_in_their_place(workdir, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(workdir, copy)
    for path in (copy / "artefacts").iterdir():
        if "examples" in path.name or "scenes" in path.name or "validation" in path.name:
            path.unlink()
        elif "training" in path.name:
            path.write_bytes(b"another file")
    cfsm = next(row for row in rows.load(copy) if (row.protocol, row.split) == ("cfsm", "test_a"))
    rows.save_artefact(copy, cfsm.artefacts["predictions"].removeprefix("artefacts/").removesuffix(".npz"), {"x": [1]})
    text = read(write([copy], tmp_path / "out")).text
    assert f"{cfsm.artefacts['examples']} is missing from the work directory." in text
    assert "No validation curves:" in text
    assert "training.npz: not the file of row" in text
    assert f"{cfsm.artefacts['predictions'].rpartition('/')[2]}: not the file of row {cfsm.id}" in text
    assert "No sheet of scenes. Hefei (test A):" in text


def test_a_page_that_is_no_report_is_not_replaced(index, workdir, tmp_path):
    page_there = tmp_path / "out" / "index.html"
    page_there.parent.mkdir()
    page_there.write_text("<title>My home page</title>")
    with pytest.raises(
        InputError, match=r"index\.html: is there already and no report of mtsccd-jax; choose another --out, or move"
    ):
        write([workdir], page_there.parent)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "index.html"]
    assert page_there.read_text() == "<title>My home page</title>"
    assert page.MADE_BY in index.read_text()[:4000], "our own is known again"


def test_a_row_without_artefacts_or_published_value_makes_a_page(workdir, tmp_path):
    row = next(row for row in rows.load(workdir) if row.protocol == "scene")
    bare = dataclasses.replace(
        row,
        dataset="folder:<mine>",
        class_names=[f"class & {i}" for i in range(10)],
        published=None,
        baseline=None,
        artefacts={},
        images_per_s=None,
        metrics={"oa": row.metrics["oa"]},
    )
    rows.append(tmp_path / "bare", bare)
    index = write([tmp_path / "bare"], tmp_path / "out")
    reader = read(index)
    assert "The row names no “training” artefact." in reader.text
    assert "class & 3" in reader.text
    assert "folder:<mine>" in reader.text
    assert "folder:<mine>" not in index.read_text()
    assert "change" not in reader.ids


def test_the_same_recipe_in_two_directories_is_shown_as_repetitions(workdir, tmp_path):
    scene = next(row for row in rows.load(workdir) if row.protocol == "scene")
    for name, oa in (("one", 0.6), ("two", 0.7)):
        metrics = {"oa": {"value": oa, "low": None, "high": None}}
        rows.append(tmp_path / name, dataclasses.replace(scene, metrics=metrics, artefacts={}))
    text = read(write([tmp_path / "one", tmp_path / "two"], tmp_path / "out")).text
    assert "mean of 2 runs, standard deviation 7.1 %" in text
    assert f"{scene.id}-2" in text


def test_the_same_rows_give_the_same_page(workdir, tmp_path):
    row = dataclasses.replace(next(row for row in rows.load(workdir) if row.protocol == "scene"), artefacts={})
    rows.append(tmp_path / "run", row)
    pages = [write([tmp_path / "run"], tmp_path / name).read_bytes() for name in ("a", "b")]
    assert pages[0] == pages[1]


def test_what_cannot_be_reported_is_said_with_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"rows\.jsonl: no rows; run `mtsccd-jax evaluate"):
        write([tmp_path / "nothing"], tmp_path / "out")
    with pytest.raises(InputError, match="name at least one"):
        write([], tmp_path / "out")
    (tmp_path / "rows.jsonl").write_text('{"schema": 7}\n')
    with pytest.raises(InputError, match=r"rows\.jsonl, line 1: schema 7"):
        write([tmp_path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory):
    """The report of a small made-up reproduction with two seeds, both splits and a failed row: (page, its folder)."""
    folder = tmp_path_factory.mktemp("reproduction")
    networks = ("alexnet", "densenet201")
    make_reproduction(folder, networks=networks, similar=("resnet18",), seeds=(0, 1))
    make_reproduction(folder, networks=("alexnet",), config="paired")
    return write([folder], tmp_path_factory.mktemp("out")), folder


def test_a_row_that_came_in_the_end_is_no_failure(reproduction):
    made = [row for _, row in workdirs.load_all([reproduction[1]])]
    paired = next(row for row in made if row.dataset.endswith("/paired"))
    came = workdirs.Failure(run_name(paired), paired.protocol, paired.split, paired.seed, "killed")
    missing = dataclasses.replace(came, seed=99)
    assert came.network.endswith("-paired")
    assert workdirs.still_missing([came, missing], made) == [missing]


def test_a_folder_of_work_directories_is_one_report(reproduction):
    index, folder = reproduction
    reader = read(index)
    assert {"paper", "differences", "speed"} <= set(reader.ids)
    for text in ("fewer than the words asked for", "What the leak was worth", "seeds", "leak-free", "SSCD ResNet18"):
        assert text in reader.text, text
    lines = {(r["method"], r["network"], r["dataset"]): r for r in records(index, "table7")}
    assert {key[:2] for key in lines} >= set(TABLE_7) | {("sscd", "ResNet18")}
    assert lines["cdc_1", "ViT", ""]["test_a_kappa"] == "", "no such row: the cell is empty"
    one = lines["cfsm", "DenseNet", "mtsccd_lucd/official"]
    assert one["test_a_paper_kappa_possible"] == "False"
    values = [
        row.metrics["kappa"]["value"]
        for path in sorted(folder.glob("densenet201-*"))
        for row in rows.load(path)
        if (row.protocol, row.split) == ("cfsm", "test_a")
    ]
    assert float(one["test_a_kappa"]) == pytest.approx(sum(values) / 2)
    assert float(one["test_a_kappa_std"]) == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    assert one["test_a_seeds"] == "2"


def test_the_leak_is_validation_beside_test_in_both_splits(reproduction):
    lines = {r.pop("protocol"): r for r in records(reproduction[0], "leak")}
    assert set(lines) == {"scene", "cfsm"}, "what chooses nothing on pairs, or learns from none of them, leaks nothing"
    for protocol in ("scene", "cfsm"):
        r = {key: float(value) for key, value in lines[protocol].items() if key not in ("model", "recipe", "metric")}
        gaps = [r[f"{c}_validation"] - (r[f"{c}_test_a"] + r[f"{c}_test_b"]) / 2 for c in ("official", "paired")]
        assert [r["gap_official"], r["gap_paired"]] == pytest.approx(gaps)
        assert r["leak"] == pytest.approx(gaps[0] - gaps[1])


def test_rows_of_other_examples_are_not_compared(reproduction):
    index, _ = reproduction
    (found,) = (index.parent / "tables").glob("pairs_change_test_a_*.csv")
    lines = records(index, found.stem)
    labels = {r["a"] for r in lines} | {r["b"] for r in lines}
    assert len(lines) == len(labels) * (len(labels) - 1) // 2
    assert {"CFSM DenseNet", "SSCD ResNet18", "CDC_2 AlexNet"} <= labels


def test_rows_that_failed_cannot_be_read_from_another_file(workdir, tmp_path):
    (tmp_path / "failures.json").write_text('{"network": 1}')
    with pytest.raises(InputError, match=r"failures\.json: not a list of objects"):
        write([tmp_path], tmp_path / "out")


def test_parts_of_a_section_become_one_in_the_order_of_the_page():
    one, two, fold = Figure("one"), Figure("two"), Fold("f", [])
    heading, figures, details = Block("heading", "x"), Block("figures", [one]), Block("details", [fold])
    late = Section("late", "Late", Place.IMAGES, [heading], "Late")
    first = Section("a", "A", Place.SPEED, [figures, details], notes=["n"], footer=["foot"])
    more = [Block("details", []), details, Block("figures", [two], "large")]
    second = Section("a", "A", Place.SPEED, more, notes=["m"])
    empty = Section("empty", "Empty", Place.SUMMARY, [Block("figures", [])])
    merged, last = put_together([late, first, second, empty])
    assert last == dataclasses.replace(late, notes=(), blocks=[heading], footer=())
    assert merged.blocks == [figures, Block("details", [fold, fold]), Block("figures", [two], "large")]
    assert (merged.notes, merged.footer) == (("n", "m"), ("foot",))


def test_a_new_task_shows_its_rows_without_an_edit_of_the_report(workdir, tmp_path):
    metrics = {"error": {"value": 2.5, "low": 2.0, "high": 3.0}}
    row = dataclasses.replace(rows.load(workdir)[0], protocol="counting", metrics=metrics, artefacts={}, confusion=[])
    rows.append(tmp_path / "run", row)
    known = ", ".join(protocol.name for task in REPORTS for protocol in task.protocols)
    with pytest.raises(InputError, match=rf"rows\.jsonl, row {row.id}: protocol 'counting' is none of {known}"):
        write([tmp_path / "run"], tmp_path / "out")

    def sections(writer, runs):
        yield Section("counts", "Counts", Place.RESULTS, [Block("prose", f"{len(runs)} run")], "Counts")

    protocol = Protocol("counting", "Counting", "Counting, error", "error", lambda rows: "It counts.")
    defined = {"error": Definition("macro", "{n} images", "Mean distance from the true count.")}
    meaning = Definitions(defined, (), "predictions", lambda row: "counted", lambda evidence: {"n": "7"}, lambda _: [])
    task = TaskReport("Images", ("counts",), (protocol,), (sections,), meaning)
    reader = read(page.write([tmp_path / "run"], tmp_path / "out", (*REPORTS, task)))
    assert "counts" in reader.ids
    for words in (
        "Images: counts",
        "1 run",
        "It counts.",
        "Counting, error",
        "2.50",
        "Counting, Hefei",
        "over 7 images",
        "true count.",
    ):
        assert words in reader.text, words
