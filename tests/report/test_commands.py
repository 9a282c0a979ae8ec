"""`audit` and `verify` on the command line: the last line of standard output, what people read, exit statuses."""

import json

import pytest
from made_up_runs import make_workdir

from mtsccd_jax.cli import main
from mtsccd_jax.report import rows


def run(capsys, *arguments):
    """(exit status, JSON of the only line on standard output or None, standard error)."""
    status = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert len(lines) <= 1
    return status, json.loads(lines[0]) if lines else None, captured.err


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    path = tmp_path_factory.mktemp("commands") / "run"
    make_workdir(path, share=0.03, protocols=("cdc_1",))
    return path


def test_audit_of_table_7(capsys):
    status, result, err = run(capsys, "audit")
    assert status == 0
    assert {
        "entries": 46,
        "impossible": 16,
        "no_table": 8,
        "all_unchanged": 5,
        "recovered": 22,
    }.items() <= result.items()
    assert sum(finding["table"] is not None for finding in result["findings"]) == 22
    assert "TN 3749, FP 396, FN 349, TP 584" in err
    assert "OA of never saying 'changed'" in err
    status, quiet, err = run(capsys, "audit", "--json")
    assert (status, quiet, err) == (0, result, "")


def test_audit_of_a_file_with_an_oa_above_1_is_one_line(capsys, tmp_path):
    path = tmp_path / "[red]mine.csv"
    path.write_text("what,oa,kappa\n[bold]x,0.9,0.9\n")
    status, result, err = run(capsys, "audit", path)
    assert (status, result["impossible"], result["recovered"]) == (0, 1, 0)
    assert "[bold]x" in err
    path.write_text("what,oa,kappa\nx,1.01,0.9\n")
    status, result, err = run(capsys, "audit", path)
    assert (status, result) == (2, None)
    assert len(err.splitlines()) == 1
    assert f"{path}, line 2: oa is 1.01, outside 0 to 1" in err


def test_verify_says_what_differs_and_ends_with_3(capsys, workdir, tmp_path):
    status, result, err = run(capsys, "verify", workdir)
    assert (status, result) == (0, {"rows": 4, "mismatches": 0, "differences": []})
    assert "4 rows: all agree with their artefacts" in err
    for row in rows.load(workdir):
        for relative in row.artefacts.values():
            (tmp_path / relative).parent.mkdir(exist_ok=True)
            (tmp_path / relative).write_bytes((workdir / relative).read_bytes())
    lines = (workdir / rows.ROWS_FILE).read_text().splitlines()
    changed = json.loads(lines[0])
    changed["metrics"]["oa"]["value"] += 0.1
    (tmp_path / rows.ROWS_FILE).write_text("\n".join([json.dumps(changed), *lines[1:]]) + "\n")
    status, result, err = run(capsys, "verify", tmp_path)
    assert (status, result["rows"], result["mismatches"]) == (3, 4, 1)
    (difference,) = result["differences"]
    assert (difference["row"], difference["key"]) == (changed["id"], "metrics.oa.value")
    assert difference["reason"].startswith("saved ")
    assert f"row {changed['id']}" in err
    assert "4 rows: 1 differ" in err
    status, quiet, err = run(capsys, "verify", tmp_path, "--json")
    assert (status, quiet, err) == (3, result, "")


def test_verify_without_rows_is_refused(capsys, tmp_path):
    status, result, err = run(capsys, "verify", tmp_path)
    assert (status, result) == (2, None)
    assert "rows.jsonl: no rows to verify" in err
    assert len(err.splitlines()) == 1
