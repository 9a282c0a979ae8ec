"""Rows and artefacts: what is written is read back, and what cannot be read is named."""

import dataclasses
import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from made_up_rows import RECIPE, change_row

from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Data, Recipe, to_dict
from mtsccd_jax.report import rows


def make_row(**changes):
    """A small valid row."""
    fields = {
        "id": rows.row_id(changes.get("recipe", RECIPE), "test_a", "cfsm", 0),
        "n": 10,
        "metrics": {"oa": {"value": 0.8, "low": 0.7, "high": 0.9}},
        "confusion": [[6, 1], [1, 2]],
        "objective": "kappa",
        "checksums": {"data": "00", "artefacts": {}},
        "times": {"seconds": 1.5},
        "versions": {"jax": "0.10.2"},
    }
    return change_row(**(fields | changes))


def write_lines(workdir, *lines):
    (workdir / rows.ROWS_FILE).write_text("".join(lines))


def as_line(row):
    return json.dumps(dataclasses.asdict(row)) + "\n"


def test_data_that_a_list_has_left_rows_out_of_are_known_by_their_content():
    plain, listed = {"data": {"exclude": None}}, {"data": {"exclude": "exclude.csv"}}
    assert rows.data_identity("mtsccd_lusc/official", "abc", plain) == "mtsccd_lusc/official"
    assert rows.data_identity("mtsccd_lusc/official", "abc", listed) == "mtsccd_lusc/official abc"
    assert rows.data_identity("folder:x", "abc", {}) == "folder:x abc"


def test_rows_come_back_as_they_were_written(tmp_path):
    assert rows.load(tmp_path) == []
    first, second = make_row(), make_row(id="other", threshold=None)
    rows.append(tmp_path / "new", first)
    rows.append(tmp_path / "new", second)
    assert rows.load(tmp_path / "new") == [first, second]
    assert len((tmp_path / "new" / "rows.jsonl").read_text().splitlines()) == 2


def test_numpy_values_become_plain_and_what_is_not_finite_becomes_null(tmp_path):
    row = make_row(
        threshold=float("inf"),
        images_per_s=np.float32(2.5),
        n=int(np.int64(10)),
        metrics={"oa": {"value": np.float64(0.8), "low": float("nan"), "high": None}},
        recipe={"data": {"mean": (0.1, 0.2)}, "flags": np.array([1, 2])},
    )
    rows.append(tmp_path, row)
    text = (tmp_path / "rows.jsonl").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    (back,) = rows.load(tmp_path)
    assert back.threshold is None
    assert back.images_per_s == 2.5
    assert back.metrics["oa"] == {"value": 0.8, "low": None, "high": None}
    assert back.recipe == {"data": {"mean": [0.1, 0.2]}, "flags": [1, 2]}


def test_a_later_line_of_one_id_replaces_the_earlier_in_its_place(tmp_path):
    rows.append(tmp_path, make_row())
    rows.append(tmp_path, make_row(id="other"))
    rows.append(tmp_path, make_row(threshold=0.6))
    assert [(row.id, row.threshold) for row in rows.load(tmp_path)] == [(make_row().id, 0.6), ("other", 0.5)]


def test_identity_is_the_recipe_split_protocol_and_seed_and_not_where_the_data_lies():
    here = to_dict(Recipe("demo", "one text", data=Data(data_dir="/here")))
    there = to_dict(Recipe("demo", "another text", data=Data(data_dir="/there", input="stream")))
    identity = rows.row_id(here, "test_a", "cfsm", 0)
    assert identity == rows.row_id(there, "test_a", "cfsm", 0)
    assert identity == rows.row_id(dict(reversed(here.items())), "test_a", "cfsm", 0)
    assert identity == rows.row_id(json.loads(json.dumps(here)), "test_a", "cfsm", 0)
    assert len(identity) == 16
    others = {
        rows.row_id(here, "test_b", "cfsm", 0),
        rows.row_id(here, "test_a", "cdc_1", 0),
        rows.row_id(here, "test_a", "cfsm", 1),
        rows.row_id(here, "test_a", "cfsm", 0, objective="oa"),
        rows.row_id(here, "test_a", "cfsm", 0, dataset="folder:mine"),
        rows.row_id(to_dict(Recipe("demo", "one text", data=Data(image_size=96))), "test_a", "cfsm", 0),
    }
    assert len(others | {identity}) == 7


def test_a_torn_last_line_is_named_with_what_to_do(tmp_path):
    write_lines(tmp_path, as_line(make_row()), as_line(make_row(id="second"))[:200])
    with pytest.raises(InputError, match=r"rows\.jsonl, line 2: the line is cut off after 200 bytes; delete it"):
        rows.load(tmp_path)
    with pytest.raises(InputError, match="line 2: the line is cut off"):
        rows.append(tmp_path, make_row())


def test_a_whole_last_line_without_its_newline_is_read_and_added_to(tmp_path):
    write_lines(tmp_path, as_line(make_row()).rstrip())
    rows.append(tmp_path, make_row(id="second"))
    assert [row.id for row in rows.load(tmp_path)] == [make_row().id, "second"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json}\n", "line 2: not JSON"),
        ("[1, 2]\n", "line 2: not a row"),
        ('{"id": "x"}\n', "line 2: not a row"),
        (as_line(make_row(schema=99)), "line 2: schema 99, but this version reads schema 2"),
        (as_line(make_row()).replace('"split":', '"splitt":'), "line 2: the row lacks split"),
        (as_line(make_row()).replace("{", '{"extra": 1, ', 1), "line 2: the row has unknown keys: extra"),
        (as_line(make_row(n="ten")), "line 2: 'n' is 'ten'"),
        (as_line(make_row(seed=True)), "line 2: 'seed' is True"),
        (as_line(make_row(threshold="high")), "line 2: 'threshold' is 'high'"),
        (as_line(make_row(confusion=[[6, 1]])), "line 2: 'confusion' is not a 2 x 2 table of counts"),
        (as_line(make_row(confusion=[[6.5, 1], [1, 2]])), "line 2: 'confusion' is not a 2 x 2 table"),
        (as_line(make_row(confusion=[[7, 1], [1, 2]])), "line 2: 'confusion' sums to 11, but n is 10"),
        (as_line(make_row(metrics={"oa": {"value": 0.8}})), "line 2: 'metrics.oa' lacks value, low or high"),
        (as_line(make_row(metrics_rechosen={"f1": 0.8})), "line 2: 'metrics_rechosen.f1' lacks"),
        (as_line(make_row(checksums={"artefacts": "ab"})), "line 2: 'checksums.artefacts' is not a table"),
        ("[" * 100_000 + "\n", "line 2: not JSON"),
        (
            as_line(make_row(metrics={"oa": {"value": "x", "low": 0, "high": 1}})),
            r"line 2: metrics\.oa\.value=x: expected",
        ),
        (as_line(make_row(metrics={"oa": {"value": 10**400, "low": 0, "high": 1}})), "that float32 can hold"),
        (as_line(make_row(class_names=["a", ["b"]])), "line 2: class_names=.*: expected text"),
        (as_line(make_row(artefacts={"a": 5})), r"line 2: artefacts\.a=5: expected text"),
        (as_line(make_row(baseline={"name": "x", "oa": "y"})), r"line 2: baseline\.oa=y: expected number"),
        (as_line(make_row(published={"metrics": [1]})), r"line 2: published\.metrics=.*: expected named values"),
        (as_line(make_row(published={"threshold": [1]})), r"line 2: published\.threshold=.*: expected number"),
        (as_line(make_row(recipe={"model": "x"})), r"line 2: recipe\.model=x: expected named values"),
        (as_line(make_row(recipe={"model": {"width": "x"}})), r"line 2: recipe\.model\.width=x: expected number"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path, line, message):
    write_lines(tmp_path, as_line(make_row()), line, as_line(make_row(id="third")))
    with pytest.raises(InputError, match=message) as raised:
        rows.load(tmp_path)
    assert str(tmp_path / "rows.jsonl") in str(raised.value)
    assert "\n" not in str(raised.value)


ABCD = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("confusion", "class_names", "message"),
    [
        ([[6, 1], [1, 2]], ["a", "b"], ""),
        ([[6, 1, 1, 2], [10, 0, 0, 0]], ["a", "b"], ""),
        ([[10, 0, 0, 0]] * 4, ABCD, ""),
        ([[4, 0, 0, 0], [0, 3, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]], ABCD, ""),
        ([], ["a", "b", "c"], ""),
        ([[6, 1, 1, 2]], ["a", "b"], "not a 2 x 4 table of counts"),
        ([[6, 1, 1, 2], [1, 2, 3, 3]], ["a", "b"], "sums to 9, but n is 10"),
        ([[5, 0, 0, 0], [0, 3, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]], ABCD, "sums to 11, but n is 10"),
        ([[10]], ["a", "b", "c"], "not a 3 x 3 table"),
        ([[6, 1], 3], ["a", "b"], "not a 2 x 2 table"),
    ],
)
def test_confusions_are_square_or_have_four_counts_a_label_whatever_the_protocol(
    tmp_path, confusion, class_names, message
):
    row = make_row(protocol="a new one", confusion=confusion, class_names=class_names)
    if not message:
        rows.append(tmp_path, row)
        assert rows.load(tmp_path) == [row]
    else:
        with pytest.raises(InputError, match=message):
            rows.append(tmp_path, row)


def test_a_row_that_could_not_be_read_back_is_not_written(tmp_path):
    rows.append(tmp_path, make_row())
    before = (tmp_path / "rows.jsonl").read_bytes()
    with pytest.raises(InputError, match="the new row: 'confusion' sums to 12"):
        rows.append(tmp_path, make_row(confusion=[[8, 1], [1, 2]]))
    assert (tmp_path / "rows.jsonl").read_bytes() == before


def test_a_value_that_changed_after_it_was_written_is_named_with_its_line(tmp_path):
    """Every digit of every number of a line, one at a time."""
    rows.append(tmp_path, make_row())
    rows.append(tmp_path, make_row(id="second"))
    path = tmp_path / rows.ROWS_FILE
    sound, expected = path.read_bytes(), rows.load(tmp_path)
    second = sound.index(b"\n") + 1
    for place in (place for place in range(second, len(sound)) if 48 <= sound[place] < 58):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
        with pytest.raises(InputError, match=r"rows\.jsonl, line 2: "):
            assert rows.load(tmp_path) == expected, "not even a digit too small to count"
    path.write_bytes(sound.replace(b'"value":0.8', b'"value":0.9', 1))
    message = f"{path}, line 1: 'metrics' of row {make_row().id} changed after it was written; delete the line and eval"
    with pytest.raises(InputError, match=message):
        rows.append(tmp_path, make_row(id="third"))
    assert path.read_bytes().count(b"\n") == 2


def test_rows_of_older_versions_have_no_checksums_of_their_values(tmp_path):
    write_lines(tmp_path, as_line(make_row()))
    assert rows.load(tmp_path) == [make_row()]
    rows.append(tmp_path, make_row(id="second"))
    assert json.loads((tmp_path / rows.ROWS_FILE).read_text().splitlines()[1])["checksums"]["row"].keys() == {
        field.name for field in dataclasses.fields(rows.Row)
    }


def test_an_empty_file_of_rows_has_lost_them(tmp_path):
    write_lines(tmp_path)
    with pytest.raises(InputError, match=r"rows\.jsonl: empty, its rows are lost; put a copy of it back, or delete it"):
        rows.append(tmp_path, make_row())


def test_rows_that_are_added_at_once_are_all_kept(tmp_path):
    """By threads, which the lock keeps apart as it does processes."""

    def append_some(name):
        for number in range(10):
            rows.append(tmp_path, make_row(id=f"{name}{number}"))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(append_some, "abcd"))
    names = [row.id for row in rows.load(tmp_path)]
    assert sorted(names) == [f"{name}{number}" for name in "abcd" for number in range(10)]
    assert [name for name in names if name.startswith("a")] == [f"a{number}" for number in range(10)]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_crash_while_writing_leaves_the_previous_file_and_no_other(tmp_path, monkeypatch, failing):
    rows.append(tmp_path, make_row())
    rows.save_artefact(tmp_path, "numbers", {"x": np.arange(3)})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def crash(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, crash)
    with pytest.raises(OSError, match="No space left"):
        rows.append(tmp_path, make_row(id="second"))
    with pytest.raises(OSError, match="No space left"):
        rows.save_artefact(tmp_path, "numbers", {"x": np.arange(4)})
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert rows.load(tmp_path) == [make_row()]


def test_artefacts_come_back_and_the_same_arrays_give_the_same_bytes(tmp_path):
    arrays = {
        "file": np.arange(5),  # a name that NumPy's own savez cannot take
        "text": np.array(["a", "öß"]),
        "flags": np.array([True, False]),
        "pixels": np.zeros((2, 4, 4, 3), np.uint8),
        "empty": np.zeros(0, np.float32),
    }
    path, checksum = rows.save_artefact(tmp_path / "a", "test_a-predictions", arrays)
    assert path == "artefacts/test_a-predictions.npz"
    assert checksum == hashlib.sha256((tmp_path / "a" / path).read_bytes()).hexdigest()
    assert rows.save_artefact(tmp_path / "b", "test_a-predictions", arrays) == (path, checksum)
    row = make_row(artefacts={"predictions": path}, checksums={"artefacts": {"predictions": checksum}})
    back = rows.load_artefact(tmp_path / "a", row, "predictions")
    assert back is not None
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_artefacts_that_are_not_there_are_none(tmp_path):
    assert rows.load_artefact(tmp_path, make_row(), "predictions") is None
    assert rows.load_artefact(tmp_path, make_row(artefacts={"predictions": "artefacts/x.npz"}), "predictions") is None


def test_artefacts_of_objects_or_with_bad_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match="array 'x' holds Python objects"):
        rows.save_artefact(tmp_path, "a", {"x": np.array([{}, None])})
    for name in ("", "../a", "a/b", ".hidden", "a b"):
        with pytest.raises(ValueError, match="cannot name an artefact"):
            rows.save_artefact(tmp_path, name, {"x": np.arange(2)})
    assert list(tmp_path.iterdir()) == []


def test_an_artefact_that_is_not_the_rows_own_is_refused(tmp_path):
    path, _ = rows.save_artefact(tmp_path, "a", {"x": np.arange(2)})
    with pytest.raises(InputError, match=r"a\.npz: not the file of row"):
        rows.load_artefact(tmp_path, make_row(artefacts={"a": path}, checksums={"artefacts": {"a": "0" * 64}}), "a")
    for elsewhere in ("../secret.npz", "/etc/passwd"):
        with pytest.raises(InputError, match="is outside that folder"):
            rows.load_artefact(tmp_path, make_row(artefacts={"a": elsewhere}), "a")
    for content in (b"", b"not a zip", (tmp_path / path).read_bytes()[:60]):
        (tmp_path / path).write_bytes(content)
        with pytest.raises(InputError, match=r"not a readable \.npz"):
            rows.load_artefact(tmp_path, make_row(artefacts={"a": path}), "a")
    with (tmp_path / path).open("wb") as stream:
        np.savez(stream, x=np.array([{"a": 1}]))
    with pytest.raises(InputError, match=r"not a readable \.npz"):
        rows.load_artefact(tmp_path, make_row(artefacts={"a": path}), "a")
