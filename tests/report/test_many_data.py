"""One network judged on several data sets: every number on the page names what it is of."""

import dataclasses
import re
from collections import Counter

import pytest
from made_up_runs import make_workdir
from page_reader import read
from reports import write

from mtsccd_jax.report import rows
from mtsccd_jax.report.workdirs import load_all

FOLDER_CLASSES = ["AnnualCrop", "HerbaceousVegetation", "annual_crop", "SeaLake", *(f"Class {i}" for i in range(6))]


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """A work directory with rows on MtSCCD, on EuroSAT, and on two different folders of one name."""
    workdir = tmp_path_factory.mktemp("several") / "run"
    made = make_workdir(workdir, splits=("test_a",), protocols=("cfsm",), share=0.02)
    scene, change = (next(row for row in made if row.protocol == name) for name in ("scene", "cfsm"))
    for number, (folder, data) in enumerate((("EuroSAT", "a"), ("my_images", "b"), ("my_images", "c"))):
        for row in (scene, change):
            own = {"class_names": FOLDER_CLASSES} if row is scene else {}
            own |= {"dataset": f"folder:{folder}", "split": "test", "published": None}
            own |= {"checksums": row.checksums | {"data": data}, "id": f"{row.id[:-1]}{number}"}
            rows.append(workdir, dataclasses.replace(row, **own))
    return workdir


@pytest.fixture(scope="module")
def page_of_several(several, tmp_path_factory):
    index = write([several], tmp_path_factory.mktemp("page"))
    return read(index), index.read_text(encoding="utf-8")


def test_there_is_one_trained_network(page_of_several):
    assert "9 rows from 1 work directory, 1 trained network " in f"{page_of_several[0].text} "
    assert page_of_several[1].count("<b>Loss, ") == 1


def test_no_two_headings_are_equal(page_of_several):
    html = page_of_several[1]
    for pattern in ("<h[23][^>]*>(.*?)</h", "<summary>(.*?)</summary>"):
        found = Counter(re.findall(pattern, html, re.DOTALL))
        assert found
        assert [heading for heading, count in found.items() if count > 1] == []


def test_no_card_merges_two_data_sets(page_of_several):
    text = page_of_several[0].text
    assert "Scenes named correctly Hefei" in text
    for place in ("EuroSAT", "my_images", "my_images (2)"):
        assert re.search(rf"{re.escape(place)} [\d.]+.% [\d.]+.% to", text), place
        assert f"On {place} test the land use of" in text
    assert "4 rows" not in text


def test_class_names_stand_as_they_were_written(page_of_several):
    for name in FOLDER_CLASSES[:4]:
        assert name in page_of_several[0].text
    assert "Annualcrop" not in page_of_several[0].text


def test_folders_of_one_name_are_told_apart_by_their_content(several):
    names = [row.dataset for _, row in load_all([several])]
    assert Counter(names)["folder:my_images"] == Counter(names)["folder:my_images (2)"] == 2
    assert Counter(names)["mtsccd_lusc/official"] == 1


def test_rows_of_a_stranger_write_nothing_outside_the_report(tmp_path):
    made = make_workdir(tmp_path / "run", splits=("test_a",), protocols=("cfsm",), share=0.02)
    (tmp_path / "run" / rows.ROWS_FILE).unlink()
    for row in made:
        rows.append(tmp_path / "run", dataclasses.replace(row, split="../../../out", id=f"/../../../{row.protocol}\0"))
    before = set(tmp_path.rglob("*"))
    index = write([tmp_path / "run"], tmp_path / "deep" / "page")
    written = set(tmp_path.rglob("*")) - before
    assert any("out" in path.name for path in written)
    assert all(path == index.parent.parent or path.is_relative_to(index.parent) for path in written)
