"""What `verify` checks of every row, and over which folders it goes."""

import dataclasses
import json
import shutil
import zipfile

import pytest
from damaged_rows import differences, keys, resaved
from made_up_runs import make_workdir

from mtsccd_jax.report import published, rows
from mtsccd_jax.report.verify import verify
from mtsccd_jax.tasks.table import CHECKS


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(work directory, scene row of test A); damaged artefacts are written beside its own."""
    path = tmp_path_factory.mktemp("verify") / "run"
    return path, make_workdir(path, share=0.03, splits=("test_a",), protocols=("cdc_1",))[0]


def test_rows_as_they_were_made_agree(made):
    checked = list(verify(made[0], CHECKS))
    assert [(row.protocol, found) for _, row, found in checked] == [("scene", []), ("cdc_1", []), ("cdc_1", [])]


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("id", {"id": "0" * 16}),
        ("seed", {"seed": 1}),
        ("model", {"model": "resnet18"}),
        ("published", {"published": None}),
        ("published.oa", lambda row: {"published": row.published | {"oa": 0.9}}),
        ("n", {"n": 3}),
        ("recipe.evaluation.resamples", lambda row: {"recipe": row.recipe | {"evaluation": {}}}),
        ("metrics.made_up", lambda row: {"metrics": row.metrics | {"made_up": {"value": 1, "low": 0, "high": 1}}}),
    ],
)
def test_what_every_row_has_is_checked(made, key, changes):
    workdir, row = made
    assert key in keys(workdir, row, **(changes(row) if callable(changes) else changes))


def test_a_narrow_network_has_no_published_value(tmp_path):
    (row,) = make_workdir(tmp_path, share=0.02, width=0.25, splits=("test_a",), protocols=())
    assert row.published is None
    assert keys(tmp_path, row) == set()
    wrong = dataclasses.asdict(published.scene("resnet101", "test_a"))
    (difference,) = differences(tmp_path, row, published=wrong)
    assert (difference.key, difference.what) == ("published", "scene on test_a, resnet101 x0.25, seed 0")


def test_missing_foreign_and_unnamed_artefacts_are_told_with_their_reason(made):
    workdir, row = made
    other = resaved(workdir, row, "predictions", lambda arrays: None)
    path = workdir / other.artefacts["predictions"]
    path.write_bytes(b"another file")
    (foreign,) = differences(workdir, other)
    assert foreign.key == "artefacts.predictions"
    assert "is not the file of this row (sha256" in foreign.reason
    path.unlink()
    (missing,) = differences(workdir, other)
    assert missing.reason.endswith("is missing")
    others = {name: path for name, path in row.artefacts.items() if name != "predictions"}
    (unnamed,) = differences(workdir, row, artefacts=others)
    assert unnamed.reason == "the row names none, so nothing of it can be recomputed"
    without = {name: sha256 for name, sha256 in row.checksums["artefacts"].items() if name != "predictions"}
    (unchecked,) = differences(workdir, row, checksums=row.checksums | {"artefacts": without})
    assert "has no checksum" in unchecked.reason


def test_the_array_that_changed_is_named_with_its_bytes(made):
    workdir, row = made
    row = resaved(workdir, row, "predictions", lambda arrays: None)
    path = workdir / row.artefacts["predictions"]
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        first, second = archive.infolist()[:2]
    for place in (first.header_offset + 60, second.header_offset - 8):
        path.write_bytes(content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :])
        (difference,) = differences(workdir, row)
        name = first.filename.removesuffix(".npy")
        assert difference.reason.endswith(f": array '{name}', bytes 0 to {second.header_offset - 1:,}")
    path.write_bytes(content[:-30])
    assert f"no whole .npz of {len(content) - 30:,} bytes" in differences(workdir, row)[0].reason
    entry = content.rindex(b"PK\1\2") + 4
    path.write_bytes(content[:entry] + bytes([content[entry] ^ 1]) + content[entry + 1 :])
    assert "its arrays are whole" in differences(workdir, row)[0].reason


def test_arrays_that_lack_or_do_not_fit_are_named(made):
    workdir, row = made

    def cut(arrays):
        arrays["prediction"] = arrays["prediction"][:-1]

    for change in (cut, lambda arrays: arrays.pop("label")):
        assert keys(workdir, resaved(workdir, row, "predictions", change)) == {"artefacts.predictions"}


def test_a_folder_of_work_directories_is_verified_whole(made, tmp_path):
    lines = (made[0] / rows.ROWS_FILE).read_text().splitlines()
    for name in ("one", "deep/er/two"):
        shutil.copytree(made[0] / "artefacts", tmp_path / name / "artefacts")
        row = json.loads(lines[0])
        row["baseline"]["oa"] *= 1 if name == "one" else 2
        (tmp_path / name / rows.ROWS_FILE).write_text(json.dumps(row) + "\n" + lines[1] + "\n")
    checked = list(verify(tmp_path, CHECKS))
    assert len(checked) == 4
    assert [(workdir.name, d.key) for workdir, _, found in checked for d in found] == [("two", "baseline.oa")]


def test_rows_of_the_demonstration_agree(demo_run):
    checked = list(verify(demo_run[0], CHECKS))
    assert len(checked) >= 7
    assert [d for _, _, found in checked for d in found] == []
