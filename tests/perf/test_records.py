"""Records of measured rates: what is written is read again; rows are told apart by their conditions."""

import csv
import json
from dataclasses import replace

import pytest
from rich.console import Console

from mtsccd_jax.errors import InputError
from mtsccd_jax.perf.records import (
    Measurement,
    Record,
    RecordFile,
    conditions_slug,
    differences,
    load,
    measurement,
    rich_table,
    save,
)
from mtsccd_jax.perf.timing import Timing

VERSIONS = {"jax": "0.10.2", "torch": "2.11.0"}
ENVIRONMENT = {"cpu": "AMD EPYC 7B13", "cores": 2, "platform": "cpu", "device": "cpu", "devices": 1, "processes": 1}
ENVIRONMENT |= {"python": "3.11.7", "xla_flags": "", "versions": VERSIONS, "commit": "0123456789ab"}


def row(name="resnet18", rate=100.0, **conditions):
    return Measurement(
        name=name,
        conditions={"batch": 8} | conditions,
        unit="images/s",
        rate=rate,
        rate_p10=0.9 * rate,
        rate_p90=1.1 * rate,
        windows=5,
        details={"compile_s": 1.5, "peak_bytes": None},
    )


def record_file(folder, **environment):
    return RecordFile(
        folder, "rows", benchmark="models", command="mtsccd-jax bench models", environment=ENVIRONMENT | environment
    )


def test_rates_are_of_the_windows():
    made = measurement("a", {}, "pairs/s", Timing((1.0, 2.0, 4.0)), 8)
    assert (made.rate, made.windows) == (4.0, 3)
    # Nine tenths of the windows take 3.6 s at most, one tenth 1.2 s: the slow ones are the low end.
    assert (made.rate_p10, made.rate_p90) == pytest.approx((8 / 3.6, 8 / 1.2))
    assert made.spread == pytest.approx((8 / 1.2 - 8 / 3.6) / 4)
    uneven = measurement("a", {}, "pairs/s", Timing((0.1, 1.0)), 8)
    assert uneven.rate_p10 < uneven.rate < uneven.rate_p90


def test_a_record_is_read_as_it_was_written(tmp_path):
    failed = Measurement(name="vgg16", conditions={"batch": "auto"}, unit="images/s", reason="does not fit")
    made = Record(
        benchmark="models", command="c", date="2026-01-01T00:00:00+00:00", environment=ENVIRONMENT, rows=(row(), failed)
    )
    save(made, tmp_path / "a.json")
    assert load(tmp_path / "a.json") == made
    save(replace(made, rows=(row(rate=float("inf")),)), tmp_path / "a.json")
    assert load(tmp_path / "a.json").rows[0].rate is None, "what is not finite is null"
    assert "Infinity" not in (tmp_path / "a.json").read_text()


def test_a_row_is_found_by_name_unit_and_conditions_in_any_order(tmp_path):
    record = record_file(tmp_path)
    record.add(row(task="train", image_size=32))
    case = {"image_size": 32, "task": "train", "batch": 8}
    assert record.find("resnet18", case, "images/s") == record.record.rows[0]
    assert record.find("resnet18", case | {"task": "infer"}, "images/s") is None
    assert record.find("resnet18", case, "pairs/s") is None
    record.add(row(rate=200.0, task="train", image_size=32))
    assert [one.rate for one in record.record.rows] == [200.0], "measured again, it replaces the one before"


def test_a_record_goes_on_where_it_was_left(tmp_path):
    record_file(tmp_path / "new" / "folder").add(row())
    again = record_file(tmp_path / "new" / "folder")
    assert again.record.rows == (row(),)
    again.add(row("vgg16"))
    assert [one.name for one in load(again.json).rows] == ["resnet18", "vgg16"]
    lines = list(csv.DictReader(again.csv.read_text().splitlines()))
    assert [line["name"] for line in lines] == ["resnet18", "vgg16"]
    assert (lines[0]["batch"], lines[0]["rate"], lines[0]["peak_bytes"]) == ("8", "100.0", "")


def test_rows_of_another_machine_want_another_folder(tmp_path):
    record_file(tmp_path).add(row())
    with pytest.raises(InputError, match=r"jax 0\.10\.2 there, 0\.12\.0 here.*choose another --out"):
        record_file(tmp_path, versions={"jax": "0.12.0"})
    record_file(tmp_path, versions={"jax": "0.10.2", "torch": None})  # which no rate of ours depends on


GPU = {"platform": "gpu", "device": "NVIDIA H200"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({}, {}, []),
        ({}, {"cores": 4}, ["cores 2 there, 4 here"]),
        (GPU, GPU | {"cores": 4}, []),  # a GPU computes, not the cores
    ],
)
def test_what_a_speed_depends_on(old, new, expected):
    assert differences(ENVIRONMENT | old, ENVIRONMENT | new) == expected


@pytest.mark.parametrize(
    ("device", "slug"),
    [
        ({}, "jax0.10.2-cpu-epyc_7b13"),
        (GPU, "jax0.10.2-h200"),
        (GPU | {"device": "NVIDIA H100 80GB HBM3", "devices": 8}, "jax0.10.2-h100_80gb_hbm3-8x"),
    ],
)
def test_file_names_say_version_and_device(device, slug):
    assert conditions_slug(ENVIRONMENT | device) == slug


def _with_row(name: str, value: object) -> str:
    """Return the text of a record whose only row has that value."""
    row = {"name": "host", "conditions": {}, "unit": "pairs/s", "rate": 1.0} | {name: value}
    record = {"schema": 1, "benchmark": "a", "command": "b", "date": "c", "environment": {}, "rows": [row]}
    return json.dumps(record)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("{", "cannot be read as a record"),
        ('{"benchmark": "torch"}', "is no record"),
        ('{"schema": 99, "rows": []}', "schema 99"),
        ('{"schema": 1, "rows": [{"model": "x"}]}', "is no record"),
        ("[]", "is no record"),
        (_with_row("rate", "fast"), "values of another kind"),
        (_with_row("rate", 0), "values of another kind"),
        (_with_row("conditions", None), "values of another kind"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, content, message):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=message):
        load(path)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another --out"):
        record_file(tmp_path / "file" / "below")


def test_the_table_for_people_says_what_all_rows_share_once():
    failed = Measurement(name="vgg16", conditions={"batch": 8, "task": "infer"}, unit="images/s", reason="no [room]")
    console = Console(width=120, force_terminal=False)
    with console.capture() as said:
        console.print(rich_table([row(task="train"), failed]))
    text = said.get()
    assert text.count("batch 8") == 1
    assert "100.0" in text
    assert "20.0%" in text
    assert "no [room]" in text
    assert json.loads(json.dumps(failed.key))[0] == "vgg16"
