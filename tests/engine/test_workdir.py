"""A work directory belongs to one recipe, and its history survives a kill."""

import contextlib
import copy
import errno
import fcntl
import json
import math
import os
import re
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtsccd_jax.engine.workdir import (
    HISTORY_FILE,
    LOCK_FILE,
    RECIPE_FILE,
    History,
    Run,
    StepRecord,
    Validation,
    best_of,
    claim,
    found_again,
    load,
    only_training,
    read_history,
    read_validations,
    warn_of_lost_steps,
)
from mtsccd_jax.errors import InputError
from mtsccd_jax.recipes.config import Recipe, to_dict


def a_record(step):
    return StepRecord(step=step, epoch=0, loss=1.0 / step, accuracy=0.5, gradient_norm=1.0, learning_rate=0.1)


def test_a_claimed_directory_reads_back_and_names_how_another_run_differs(tmp_path, recipe):
    run = Run(recipe, ("a", "b"), "folder", 10)
    claim(tmp_path, run)
    assert load(tmp_path) == replace(run, workdir=str(tmp_path))
    moved = replace(recipe, data=replace(recipe.data, folder="/elsewhere", input="stream"))
    claim(tmp_path, replace(run, recipe=moved))
    other = replace(recipe, optim=replace(recipe.optim, learning_rate=0.5))
    with pytest.raises(InputError, match=r"differing: optim\.learning_rate \(0\.05 there, 0\.5 asked for\)"):
        claim(tmp_path, replace(run, recipe=other))
    with pytest.raises(InputError, match=r"classes \(2 there, 3 asked for\)"):
        claim(tmp_path, replace(run, class_names=("a", "b", "c")))


@pytest.mark.parametrize("name", ["data_dir", "folder", "pairs"])
def test_places_are_stored_absolute_and_found_after_a_move(monkeypatch, tmp_path, recipe, name):
    """The data lie in `tfds/all` and the run in `runs/one` of a project that is moved as a whole."""

    def place():
        return getattr(found_again(load("runs/one"), Path("runs/one")).data, name)

    project, moved = tmp_path / "project", tmp_path / "moved"
    (project / "tfds" / "all").mkdir(parents=True)
    monkeypatch.chdir(project)
    data = replace(recipe.data, **{"folder": None, name: "tfds/all"})
    claim("runs/one", Run(replace(recipe, data=data), ("a", "b"), "folder", 10))
    stored = getattr(load("runs/one").recipe.data, name)
    assert stored == place() == str(project / "tfds" / "all")
    project.rename(moved)
    monkeypatch.chdir(moved)
    assert place() == str(moved / "tfds" / "all")
    (moved / "tfds").rename(tmp_path / "gone")
    (moved / "runs" / "all").mkdir()  # of the same name, and other data
    assert place() == stored, "what cannot be found is named as it was"


def test_the_home_in_a_place_is_stored_as_the_folder_that_it_is(monkeypatch, tmp_path, recipe):
    monkeypatch.setenv("HOME", str(tmp_path))
    claim(tmp_path / "run", Run(replace(recipe, data=replace(recipe.data, folder="~/x")), ("a", "b"), "folder", 10))
    assert load(tmp_path / "run").recipe.data.folder == str(tmp_path / "x")


def test_relative_places_of_older_versions_are_looked_for_here_then_beside(monkeypatch, tmp_path, recipe):
    run = tmp_path / "runs" / "one"
    claim(run, Run(recipe, ("a", "b"), "folder", 10))
    old = json.loads((run / RECIPE_FILE).read_text())
    old["recipe"]["data"]["folder"] = "images"
    del old["workdir"], old["sha256"]
    (run / RECIPE_FILE).write_text(json.dumps(old))
    for here in ("first", "second"):
        (tmp_path / here).mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "first" / "images").mkdir()
    for here, expected in (("first", "images"), ("second", str(tmp_path / "images"))):
        monkeypatch.chdir(tmp_path / here)
        assert found_again(load(run), run).data.folder == expected


def test_a_directory_without_a_run_says_so(tmp_path):
    with pytest.raises(InputError, match="no trained run here"):
        load(tmp_path)
    (tmp_path / RECIPE_FILE).write_text("{")
    with pytest.raises(InputError, match="not a recipe file"):
        load(tmp_path)


STORED = to_dict(Recipe("tiny", "for tests"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
SOUND = {"recipe": STORED, "class_names": ["a", "b"], "data": "folder", "train_examples": 10, "weights_sha256": None}


@st.composite
def damaged_recipe_file(draw):
    """Draw a recipe file in which a value is another or missing, or whose text is cut or holds other characters."""
    values = copy.deepcopy(SOUND)
    part = draw(st.sampled_from([values, values["recipe"], values["recipe"]["data"], values["recipe"]["engine"]]))
    key = draw(st.sampled_from([*part, "unknown"]))
    part[key] = draw(JSON)
    if draw(st.booleans()):
        del part[key]
    text = json.dumps(draw(st.sampled_from([values, draw(JSON)]))).encode()
    at = draw(st.integers(0, len(text)))
    return draw(st.sampled_from([text, text[:at], text[:at] + draw(st.binary(max_size=3)) + text[at:]]))


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(damaged_recipe_file())
def test_any_recipe_file_gives_a_run_or_one_line(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / RECIPE_FILE
    path.write_bytes(content)
    try:
        run = load(path.parent)
    except InputError as error:
        said = str(error)
    else:
        assert all(isinstance(name, str) for name in run.class_names)
        return
    assert said.startswith(f"{path}: not a recipe file (")
    assert said.endswith("); put a copy of it back, or choose another --workdir")
    assert len(said.splitlines()) == 1
    assert len(said) < 1000


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" * 100_000, "recursion depth"),
        ("9" * 5000, "Exceeds the limit"),
        ("[]", "list"),
        (json.dumps(SOUND | {"class_names": "abc"}), "class_names=abc: expected texts separated by commas"),
        (json.dumps(SOUND | {"train_examples": 1.5}), "train_examples=1.5: expected integer, not float"),
        (json.dumps(SOUND | {"recipe": [1]}), "recipe=[1]: expected named values, not list"),
        (json.dumps({"recipe": STORED}), "'class_names' is missing"),
        (json.dumps(SOUND | {"recipe": STORED | {"optim": {"lr": 1}}}), "unknown recipe key 'optim.lr'."),
    ],
)
def test_what_is_wrong_with_a_recipe_file_is_said(tmp_path, content, reason):
    (tmp_path / RECIPE_FILE).write_text(content)
    with pytest.raises(InputError, match=rf"not a recipe file \(.*{re.escape(reason)}.*\); put a copy of it back"):
        load(tmp_path)


def test_the_history_drops_what_lies_beyond_the_checkpoint_and_a_torn_line(tmp_path):
    history = History(tmp_path, 0)
    history.extend(a_record(step) for step in (1, 2, 3))
    history.add_validation(Validation(3, 0, "oa", 0.7))
    history.close()
    with (tmp_path / HISTORY_FILE).open("a") as file:
        file.write('{"step": 4, "epo')
    assert [record.step for record in read_history(tmp_path)] == [1, 2, 3]
    resumed = History(tmp_path, 2)
    assert [record.step for record in resumed.records] == [1, 2]
    resumed.extend([a_record(3)])
    resumed.close()
    lines = [json.loads(line) for line in (tmp_path / HISTORY_FILE).read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert resumed.validations == [], "what the dropped steps led to is dropped with them"


@pytest.mark.parametrize(
    "damage", [b"[1, 2]", b"{}", b"5", b"null", b"\xff\x00", b'{"step": "x", "loss": 1}', b"[" * 100_000]
)
def test_a_line_of_the_history_that_is_no_record_is_named_unless_it_is_torn(tmp_path, damage):
    history = History(tmp_path, 0)
    history.extend(a_record(step) for step in (1, 2))
    history.close()
    path = tmp_path / HISTORY_FILE
    sound = path.read_bytes()
    path.write_bytes(sound + damage + b"\n" + sound)
    way_out = "put a copy of the file back, or delete the line"
    for read in (read_history, lambda place: read_validations(place, 9), lambda place: History(place, 3)):
        with pytest.raises(InputError, match=rf"^{path}, line 3: not what was written; {way_out}$"):
            read(tmp_path)
    path.write_bytes(sound + damage)
    assert [record.step for record in read_history(tmp_path)] == [1, 2]


def test_a_changed_digit_in_recipe_or_history_is_never_read(tmp_path, recipe):
    """In each digit of each number, one at a time."""
    claim(tmp_path, Run(recipe, ("a", "b"), "folder", 10))
    history = History(tmp_path, 0)
    history.extend([a_record(3)])
    history.add_validation(Validation(3, 0, "oa", 0.75))
    history.close()
    for name, read in ((RECIPE_FILE, load), (HISTORY_FILE, read_history)):
        path, sound = tmp_path / name, (tmp_path / name).read_bytes()
        expected = read(tmp_path)
        for place in (place for place, byte in enumerate(sound) if 48 <= byte < 58):
            path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
            with contextlib.suppress(InputError):
                assert read(tmp_path) == expected, "a digit too small to count may be read"
        path.write_bytes(sound)
        read(tmp_path)
    changed = (tmp_path / RECIPE_FILE).read_text().replace('"learning_rate": 0.05', '"learning_rate": 0.15')
    (tmp_path / RECIPE_FILE).write_text(changed)
    with pytest.raises(InputError, match=r"recipe\.json: not a recipe file \(its values are not those that were writ"):
        load(tmp_path)


def test_recipe_and_history_of_older_versions_have_no_checksums(tmp_path, recipe):
    claim(tmp_path, Run(recipe, ("a", "b"), "folder", 10))
    old = json.loads((tmp_path / RECIPE_FILE).read_text())
    assert len(old.pop("sha256")) == 64
    (tmp_path / RECIPE_FILE).write_text(json.dumps(old))
    assert load(tmp_path).recipe == load(tmp_path).recipe
    (tmp_path / HISTORY_FILE).write_text(json.dumps(asdict(a_record(1))) + "\n")
    assert read_history(tmp_path) == [a_record(1)]


@pytest.mark.parametrize(("steps", "lost"), [((1, 2, 3), 0), ((1, 3), 1), ((), 3), ((1, 2, 3, 4), 0)])
def test_steps_that_the_history_has_lost_are_told(tmp_path, caplog, steps, lost):
    with caplog.at_level("WARNING"):
        warn_of_lost_steps(tmp_path, [a_record(step) for step in steps], 3)
    expected = [f"{tmp_path / HISTORY_FILE}: {lost} of 3 steps are lost, and so are their losses"]
    assert caplog.messages == expected * (lost > 0)


def test_the_best_validation_is_the_first_among_equals_and_survives_a_kill(tmp_path):
    history = History(tmp_path, 0)
    assert history.best is None
    assert history.epochs_without_better == 0
    for epoch, score in enumerate((0.5, 0.7, 0.7, 0.6)):
        history.extend([a_record(epoch + 1)])
        history.add_validation(Validation(epoch + 1, epoch, "kappa", score))
    assert history.best == Validation(2, 1, "kappa", 0.7)
    assert history.epochs_without_better == 2
    history.close()
    assert read_validations(tmp_path, 3) == history.validations[:3]
    for resume_step in (4, 1):
        resumed = History(tmp_path, resume_step)
        resumed.close()
        assert resumed.validations == history.validations[:resume_step]
    assert resumed.best == Validation(1, 0, "kappa", 0.5)


HOLD = """
import sys, time
from pathlib import Path
from mtsccd_jax.engine.workdir import only_training
with only_training(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_training_is_refused_by_the_name_of_the_first_until_that_is_dead(tmp_path):
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"
    holder = (
        rf"{tmp_path}: another training is running here \(process {other.pid} on {re.escape(socket.gethostname())}\)"
    )
    with pytest.raises(InputError, match=holder), only_training(tmp_path):
        pass
    other.kill()
    other.communicate()
    with only_training(tmp_path):
        assert (tmp_path / LOCK_FILE).read_text().startswith(f"process {os.getpid()} on ")
        with pytest.raises(InputError, match="another training is running here"), only_training(tmp_path):
            pass


def test_a_file_system_without_locks_is_named_and_used(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level("WARNING"), only_training(tmp_path):
        assert "has no locks (No locks available); start no second training here" in caplog.text


def test_a_score_that_is_not_finite_is_never_the_best():
    scores = [math.nan, 0.5, math.inf, 0.7, math.nan]
    validations = [Validation(epoch + 1, epoch, "oa", score) for epoch, score in enumerate(scores)]
    assert best_of(validations) == validations[3]
    assert best_of(validations[:1]) is None
