"""The comparison with the published tables, on names alone."""

import numpy as np
import pytest
from archive_files import DATES, name, names_with_counts, scenes, write

from tfds_builders import ArchiveReport, check_archive
from tfds_builders.mtsccd.tables import TABLE_2


@pytest.fixture(scope="module")
def published_archive(tmp_path_factory):
    """An archive of empty files with the class counts of Table 2, but not the transitions of Table 5."""
    root = tmp_path_factory.mktemp("published")
    for filename in names_with_counts(TABLE_2):
        (root / filename).touch()
    return root


def test_published_counts_differ_only_in_transitions(published_archive):
    report = check_archive(published_archive)
    assert (report.images, report.pairs) == (65_548, 32_774)
    assert report.problems == []
    assert {line.partition(" (")[0] for line in report.differences} == {"Table 5", "Changed pairs"}
    assert not report.strict_ok
    assert "Table 2 (images per city and date)" in report.text()
    transitions = next(table for table in report.tables if table.title.startswith("Table 5"))
    assert np.sum(transitions.found) == np.sum(transitions.published) == 32_774


@pytest.mark.parametrize(
    ("generated", "problems", "differences", "verdict"),
    [
        (False, [], [], "the published archive; it can be built"),
        (True, [], ["a", "b"], "a generated archive, not the published one; it can be built"),
        (False, [], ["a", "b"], "not the published archive as it was counted (2 differences); it can be built"),
        (False, ["x"], [], "published archive, with 1 problem: look at the problems before you build"),
        (
            True,
            ["x", "y"],
            ["a"],
            "a generated archive, not the published one, with 2 problems and 1 difference: look at the problems",
        ),
    ],
)
def test_the_report_ends_with_its_verdict(tmp_path, generated, problems, differences, verdict):
    report = ArchiveReport(
        path=tmp_path, images=3, problems=problems, other_differences=differences, tables=(), generated=generated
    )
    assert report.text().splitlines()[-1].startswith(f"verdict: {verdict}")


def test_a_city_that_is_not_listed_is_one_line(tmp_path):
    for filename in (
        *(f"{code}_{date}_0_0_1.jpg" for code in ("HF", "SZ") for date in DATES["HF"]),
        "XX_201412_0_0_1.jpg",
    ):
        (tmp_path / filename).touch()
    lines = [line for line in check_archive(tmp_path).problems if "unknown city" in line]
    assert [line.partition(" (known")[0] for line in lines] == [
        "2 images of one city, the first SZ_201412_0_0_1.jpg: unknown city 'SZ'",
        "XX_201412_0_0_1.jpg: unknown city 'XX'",
    ]


def test_every_missing_cell_is_listed(published_archive):
    lost = published_archive / "HF_201412_0_0_1.jpg"
    lost.unlink()
    try:
        report = check_archive(published_archive)
    finally:
        lost.touch()
    assert report.problems == ["HF_202110_0_0_1.jpg: the tile's other date is missing"]
    for line in (
        "Table 2 (images per city and date): 1 RL, hefei T1: 854 instead of 855",
        "Table 3 (LUSC images per split): 1 RL, test_a: 1871 instead of 1872",
        "Table 4 (LUCD pairs per split): pairs, test_a: 5077 instead of 5078",
        "Table 4 (LUCD images of the test cities): 1 RL, test_a T1: 854 instead of 855",
    ):
        assert line in report.differences


def test_a_small_archive_is_reported_without_reading_an_image(tmp_path):
    root = write(tmp_path, 10)
    for path in root.rglob("*.jpg"):
        path.write_bytes(b"")
    city = root / "MtSCCD" / "WH"
    (city / "T1" / "holiday.jpg").touch()
    (city / "T1" / "2" / "WH_201307_00_01_02.png").touch()
    (root / "MtSCCD" / "SZ_201501_1_1_1.jpg").touch()
    report = check_archive(root)
    assert (report.images, report.pairs) == (100, 50)
    assert len(report.problems) == 3
    for part in ("holiday.jpg: not a name", "2 files for one tile", "unknown city 'SZ'"):
        assert any(part in line for line in report.problems)
    assert any(line.startswith("Table 2") for line in report.differences)


def test_absent_and_added_cities_are_differences(tmp_path):
    root = write(tmp_path / "a", 10, {code: dates for code, dates in DATES.items() if code != "SH"})
    write(root, 10, {"SZ": ("201501", "202001")})
    (tmp_path / "cities.toml").write_text('[[city]]\nname = "suzhou"\ncode = "SZ"\nrole = "test"\n')
    report = check_archive(root)
    assert report.problems == []
    assert "shanghai: no image of this city" in report.differences
    assert "suzhou, 201501: 10 images that Table 2 does not have" in report.differences
    table_2 = report.tables[0]
    assert np.sum(table_2.found) == 80  # the published cities only


def test_dates_other_than_the_published_are_differences(tmp_path):
    root = write(tmp_path, 10, DATES | {"HZ": ("201311", "201810")})
    assert "hangzhou, 201311: 10 images that Table 2 does not have" in check_archive(root).differences


def test_an_image_outside_both_subset_folders_is_a_problem(tmp_path):
    for code, _, date, x, y, c in scenes(10):
        for folder in ("MtSCCD_LUSC", "MtSCCD_LUCD"):
            path = tmp_path / "archive" / folder / name(code, date, x, y, c)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    (tmp_path / "archive" / "figure.png").touch()
    assert check_archive(tmp_path / "archive").problems == ["figure.png: outside the folders of both sub-sets"]


def test_an_empty_split_and_a_lost_date_are_problems(tmp_path):
    root = tmp_path / "MtSCCD"
    root.mkdir()
    for code, phase, date, x, y, c in scenes(4):
        if code != "HF" and (code, phase) != ("WH", 2):
            (root / name(code, date, x, y, c)).touch()
    problems = check_archive(root).problems
    assert "split 'test_a' would be empty" in problems
    assert any(line.startswith("wuhan: only date 201307") for line in problems)
