"""A checkpoint that cannot be used is named in one line with the way out; damage is told apart from another network."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from orbax.checkpoint import CheckpointManager

from mtsccd_jax.engine.checkpoint import Checkpoints, check_savable, newest_step
from mtsccd_jax.engine.state import State
from mtsccd_jax.errors import InputError

# So much noise that it lies in a file of its own.
KERNEL = jax.random.normal(jax.random.PRNGKey(1), (64, 64))
STATE = State(
    jnp.int32(2), jax.random.PRNGKey(0), {"kernel": KERNEL, "bias": jnp.zeros(3)}, {"mean": jnp.ones(64)}, optimizer=()
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory with the checkpoints of steps 1 and 2."""
    workdir = tmp_path_factory.mktemp("written")
    with Checkpoints(workdir) as checkpoints:
        for step in (1, 2):
            checkpoints.save(replace(STATE, step=jnp.int32(step)), wait=True)
    return workdir


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def removed(*parts: str) -> Callable[[Path], None]:
    return lambda folder: shutil.rmtree(folder.joinpath(*parts))


def each_data_file(do: Callable[[Path], None]) -> Callable[[Path], None]:
    """Do something to all files that hold arrays."""
    return lambda folder: [do(path) for path in (folder / "default" / "ocdbt.process_0" / "d").iterdir()] and None


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "nowhere")


def flip(path: Path) -> None:
    """Change a byte in the middle, which in a large file is one of a value."""
    if path.stat().st_size > 4000:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def linked(folder: Path) -> None:
    folder.rename(folder.parent.parent / "elsewhere")
    folder.symlink_to(folder.parent.parent / "elsewhere")


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a data file is missing": (each_data_file(Path.unlink), "cannot be read whole"),
    "a data file is cut": (each_data_file(cut), "cannot be read whole"),
    "a data file is empty": (each_data_file(lambda path: path.write_bytes(b"")), "cannot be read whole"),
    "a data folder is missing": (removed("default", "d"), "cannot be read whole"),
    "no manifest": (lambda folder: (folder / "default" / "manifest.ocdbt").unlink(), "cannot be read whole"),
    "the manifest is cut": (lambda folder: cut(folder / "default" / "manifest.ocdbt"), "cannot be read whole"),
    "no metadata": (lambda folder: (folder / "default" / "_METADATA").unlink(), "cannot be read whole"),
    "the metadata are cut": (lambda folder: cut(folder / "default" / "_METADATA"), "cannot be read whole"),
    "foreign metadata": (lambda folder: (folder / "default" / "_METADATA").write_text("{}") and None, "cannot be read"),
    "the metadata are a list": (
        lambda folder: (folder / "default" / "_METADATA").write_text("[1]") and None,
        "cannot be",
    ),
    "a folder in the place of a data file": (each_data_file(a_folder), "cannot be read whole"),
    "a folder in the place of a file of names": (
        lambda folder: [a_folder(path) for path in (folder / "default" / "d").iterdir()] and None,
        "cannot be read whole",
    ),
    "a folder in the place of the manifest": (
        lambda folder: a_folder(folder / "default" / "manifest.ocdbt"),
        "cannot be read whole",
    ),
    "a link to nowhere": (lambda folder: nowhere(folder / "default" / "manifest.ocdbt"), "cannot be read whole"),
    "changed values": (each_data_file(flip), "holds other values than were saved"),
    "no checksum": (lambda folder: (folder / "_CHECKPOINT_METADATA").unlink(), "cannot be read whole"),
    "a foreign checksum": (
        lambda folder: (folder / "_CHECKPOINT_METADATA").write_text("{}") and None,
        "cannot be read",
    ),
    "no arrays": (removed("default"), "no checkpoint, it holds no arrays"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_one_line_with_the_way_out(written, tmp_path, capfd, case):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    damage, message = DAMAGE[case]
    damage(tmp_path / "checkpoints" / "2")
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(InputError) as caught:
        checkpoints.restore(STATE)
    assert str(caught.value).startswith(f"{tmp_path}/checkpoints/2: {message}")
    assert str(caught.value).endswith("; put a copy of it back, or move it elsewhere to go on from step 1")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""
    shutil.rmtree(tmp_path / "checkpoints" / "2")
    with Checkpoints(tmp_path) as checkpoints:
        assert int(checkpoints.restore(STATE).step) == 1


def test_the_only_checkpoint_has_no_other_to_go_on_from(written, tmp_path):
    shutil.copytree(written / "checkpoints" / "1", tmp_path / "checkpoints" / "1")
    cut(tmp_path / "checkpoints" / "1" / "default" / "_METADATA")
    with Checkpoints(tmp_path) as checkpoints, pytest.raises(InputError, match=r"or train in a new --workdir$"):
        checkpoints.restore(STATE)


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (
            {"params": {"kernel": KERNEL[:32], "bias": jnp.zeros(3)}},
            r"params\.kernel: \(64, 64\) there, \(32, 64\)",
        ),
        ({"params": {"kernel": KERNEL}}, r"params\.bias: \(3,\) there, none here"),
        ({"statistics": {"mean": jnp.ones(64), "var": jnp.ones(64)}}, r"statistics\.var: none there, \(64,\) here"),
        ({"optimizer": (jnp.int32(0),)}, r"optimizer\.0: none there, \(\) here"),
    ],
)
def test_another_network_is_no_damage(written, other, difference):
    message = rf"2: of another network or recipe \({difference}.*\); put back the checkpoint that belongs here"
    with Checkpoints(written) as checkpoints, pytest.raises(InputError, match=message):
        checkpoints.restore(replace(STATE, **other))


@pytest.mark.parametrize("error", [OSError(errno.EIO, "Input/output error"), MemoryError()])
def test_an_error_of_the_system_is_not_told_as_damage(written, monkeypatch, error):
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(CheckpointManager, "restore", fail)
    with Checkpoints(written) as checkpoints, pytest.raises(type(error)):
        checkpoints.restore(STATE)


def test_foreign_files_beside_checkpoints_do_not_matter(written, tmp_path, caplog):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    directory = tmp_path / "checkpoints"
    (directory / "99").write_text("notes")
    (directory / "old").mkdir()
    (directory / "2" / ".DS_Store").write_text("")
    assert newest_step(tmp_path) == 2
    with caplog.at_level(logging.ERROR), Checkpoints(tmp_path) as checkpoints:
        assert int(checkpoints.restore(STATE).step) == 2


@pytest.mark.parametrize("name", ["[1]", "a[b", "a\\b", "]", "a b", "<i>", "a*b?", "%5B", "林"])
def test_what_is_saved_can_be_read_whatever_the_name_of_the_folder_or_it_is_refused(tmp_path, name):
    workdir = tmp_path / name
    if set(name) & {"[", "\\"}:
        with pytest.raises(InputError, match=r"no checkpoint can be saved below a name with '[\[\\]'; choose another"):
            check_savable(workdir)
        return
    check_savable(workdir)
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(STATE, wait=True)
    with Checkpoints(workdir) as checkpoints:
        assert int(checkpoints.restore(STATE).step) == 2


def test_a_foreign_folder_whose_name_is_a_number_is_not_deleted_as_an_old_checkpoint(written, tmp_path):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    foreign = tmp_path / "checkpoints" / "0"
    foreign.mkdir()
    assert newest_step(tmp_path) == 2, "an empty one may be of a kill"
    (foreign / "thesis.txt").write_text("x")
    with pytest.raises(InputError, match=r"checkpoints/0: no checkpoint, it holds 'thesis\.txt'; move it elsewhere"):
        newest_step(tmp_path)


def test_a_link_in_place_of_a_checkpoint_does_not_begin_the_run_anew(written, tmp_path):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    linked(tmp_path / "checkpoints" / "2")
    with pytest.raises(InputError, match="2: a link, which is not followed; put the folder itself there"):
        newest_step(tmp_path)


@pytest.mark.parametrize("text", ["[1]", '"x"', "5"])
def test_metadata_that_are_json_of_something_else_are_named(written, tmp_path, text):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / "2" / "_CHECKPOINT_METADATA").write_text(text)
    message = (
        r"checkpoints: cannot be read whole \(.*\); put a copy of its checkpoints back, or train in a new --workdir$"
    )
    with pytest.raises(InputError, match=message):
        Checkpoints(tmp_path)


@pytest.mark.parametrize("damaged", [None, [], {"crc32": "x"}])
def test_a_checksum_that_is_none_is_named(written, tmp_path, damaged):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "checkpoints" / "2" / "_CHECKPOINT_METADATA"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"custom_metadata": damaged}))
    with pytest.raises(InputError, match="put a copy of"), Checkpoints(tmp_path) as checkpoints:
        checkpoints.restore(STATE)


def test_a_checkpoint_without_a_checksum_is_of_an_older_version(written, tmp_path):
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "checkpoints" / "2" / "_CHECKPOINT_METADATA"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"custom_metadata": {}}))
    with Checkpoints(tmp_path) as checkpoints:
        assert int(checkpoints.restore(STATE).step) == 2


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO])
def test_an_error_of_the_system_in_the_words_of_a_library_is_told_as_such(written, monkeypatch, number):
    def fail(*_: object, **__: object) -> None:
        raise ValueError(f"Error opening zarr driver: {os.strerror(number)} [tensorstore_spec={{}}]")

    monkeypatch.setattr(CheckpointManager, "restore", fail)
    with Checkpoints(written) as checkpoints, pytest.raises(OSError, match=os.strerror(number)) as caught:
        checkpoints.restore(STATE)
    assert caught.value.filename == str(written / "checkpoints" / "2")


def test_a_file_in_the_place_of_the_checkpoints_is_named(tmp_path):
    (tmp_path / "checkpoints").write_text("x")
    with pytest.raises(InputError, match=r"checkpoints: a file, and no folder of checkpoints; move it elsewhere$"):
        newest_step(tmp_path)
