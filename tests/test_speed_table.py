"""The README's table of speeds: what it is made of, and that the README holds it."""

import json
import sys
from pathlib import Path

import pytest

from mtsccd_jax.errors import InputError
from mtsccd_jax.perf.records import Measurement, Record, save
from mtsccd_jax.provenance import environment

ROOT = Path(__file__).parents[1]


@pytest.fixture
def speed_table(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import speed_table

    return speed_table


def row(name: str, task: str, rate: float, batch: int = 32, **details) -> Measurement:
    conditions = {"task": task, "side": "jax", "batch": batch, "image_size": 96, "precision": "float32"}
    found = {"ratio": 1.25, "ratio_p10": 1.2, "ratio_p90": 1.3, "peak_share": 0.4, "mfu": None, "torch": "2.11.0"}
    return Measurement(
        name=name,
        conditions=conditions | {"torch_compile": "none"},
        unit="images/s",
        rate=rate,
        details=found | {"verdict": "memory-bound"} | details,
    )


def write(folder: Path, name: str, *rows: Measurement, date: str = "2026-11-20T10:00:00+00:00", **device) -> None:
    record = Record(
        benchmark="torch", command=f"python {name}.py", date=date, environment=environment() | device, rows=rows
    )
    save(record, folder / f"{name}.json")


def test_the_readme_holds_the_table(speed_table, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["speed_table.py", "--check"])
    assert speed_table.main() == 0, capsys.readouterr().err


def test_an_accelerator_comes_before_a_cpu_and_newer_before_older(speed_table, tmp_path):
    gpu = {"platform": "gpu", "device": "NVIDIA H200"}
    write(tmp_path, "cpu", row("resnet18", "train", 50.0), date="2027-01-01T00:00:00+00:00")
    write(tmp_path, "old", row("resnet18", "train", 9000.0), **gpu | {"device": "NVIDIA A100"})
    write(tmp_path, "new", row("resnet18", "train", 14000.0), date="2026-12-01T00:00:00+00:00", **gpu)
    best = speed_table.best_of(speed_table.measured_in(tmp_path))
    assert [one.row.rate for one in best] == [14000.0]


def test_the_fastest_batch_of_the_latest_record_counts(speed_table, tmp_path):
    write(tmp_path, "a", row("resnet18", "train", 50.0, 32), row("resnet18", "train", 60.0, 64))
    write(tmp_path, "b", row("vgg16", "train", 9.0, 8), row("resnet18", "infer", 200.0, 32))
    write(tmp_path, "old", row("resnet18", "train", 70.0, 32), date="2026-11-19T00:00:00+00:00")
    best = speed_table.best_of(speed_table.measured_in(tmp_path))
    assert {(one.row.name, one.row.conditions["task"]): one.row.rate for one in best} == {
        ("resnet18", "train"): 60.0,
        ("resnet18", "infer"): 200.0,
        ("vgg16", "train"): 9.0,
    }


def test_what_a_line_says(speed_table, tmp_path):
    write(tmp_path, "a", row("vit_tiny_patch16", "infer", 1234.5, mfu=0.25), row("resnet18", "train", 51.26))
    text = speed_table.table(speed_table.best_of(speed_table.measured_in(tmp_path)))
    words, lines = text.split("\n\n")[0].replace("\n", " "), text.splitlines()
    assert "| resnet18 | 51.3 | 1.25 (1.20-1.30) | 40 % | memory |  |  |  |  |" in lines
    assert "| vit_tiny_patch16 |  |  |  |  | 1,234 | 1.25 (1.20-1.30) | 40 % / 25 % | memory |" in lines
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1, "every line has as many cells"
    assert all(text in words for text in ("96 px", "2026-11-20", "`python a.py`"))


def test_rows_that_failed_and_other_benchmarks_are_left_out(speed_table, tmp_path):
    failed = Measurement(name="vgg16", conditions={"task": "train", "side": "jax"}, unit="images/s", reason="memory")
    write(tmp_path, "a", failed)
    (tmp_path / "other.json").write_text(json.dumps({"benchmark": "svm"}))
    with pytest.raises(InputError, match=r"no record.*compare_torch\.py"):
        speed_table.measured_in(tmp_path)
    (tmp_path / "cut.json").write_text('{"schema": 1, "ro')
    with pytest.raises(InputError, match=r"cut\.json: is no JSON"):
        speed_table.measured_in(tmp_path)


def test_markers_are_asked_for(speed_table):
    begin, end = speed_table.BEGIN, speed_table.END
    assert speed_table.with_table(f"a\n{begin}\nold\n{end}\nb", "new") == f"a\n{begin}\nnew\n{end}\nb"
    for readme in ("nothing", begin, f"{end} {begin}", f"{begin} {end} {begin} {end}"):
        with pytest.raises(InputError, match="once each"):
            speed_table.with_table(readme, "new")
