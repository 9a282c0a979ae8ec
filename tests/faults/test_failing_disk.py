"""The n-th call of the file system fails, for every n, or files end at any byte: one error, and the old files."""

import builtins
import contextlib
import errno
import io
import itertools
import os
import resource
from unittest import mock

import numpy as np
import pytest
from made_up_rows import change_row

from mtsccd_jax.engine.workdir import History, Run, StepRecord, claim, load, read_history
from mtsccd_jax.errors import InputError
from mtsccd_jax.files import replacing
from mtsccd_jax.report import rows

pytestmark = pytest.mark.fault
CALLS = ((builtins, "open"), (io, "open"), (os, "open"), (os, "fsync"), (os, "replace"))


@contextlib.contextmanager
def failing_call(number, code):
    """Let the call of this number fail with an error of the system."""
    count = itertools.count()

    def failing(call):
        def called(*arguments, **options):
            of_a_descriptor = isinstance(arguments[0], int) and call.__name__ == "open"  # which is open already
            if not of_a_descriptor and next(count) == number:
                raise OSError(code, os.strerror(code))
            return call(*arguments, **options)

        return called

    with contextlib.ExitStack() as patches:
        for owner, name in CALLS:
            patches.enter_context(mock.patch.object(owner, name, failing(getattr(owner, name))))
        yield


@contextlib.contextmanager
def full_after(num_bytes):
    """Let every file end at this many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def add_row(place, name):
    rows.append(place, change_row(id=name))


def add_artefact(place, name):
    rows.save_artefact(place, "numbers", {"x": np.arange(len(name) * 500)})


def add_steps(place, name):
    with contextlib.closing(History(place, 9)) as history:
        history.extend([StepRecord(len(history.records) + 1, 0, 1.5, 0.5, 1.0, 0.1)] * 20)


def add_report(place, name):
    with replacing(place / "index.html") as stream:
        stream.write(name.encode() * 1000)


def ids(place):
    return [row.id for row in rows.load(place)]


def content(name):
    return lambda place: (place / name).read_bytes()


# How each kind of file is written a first and another time, and how it is read.
FILES = {
    "rows": (add_row, ids),
    "artefact": (add_artefact, content("artefacts/numbers.npz")),
    "history": (add_steps, lambda place: [record.step for record in read_history(place)][:20]),
    "any other": (add_report, content("index.html")),
}


def names(place):
    return sorted(str(path.relative_to(place)) for path in place.rglob("*"))


def error_of(write, *arguments):
    """Return the number of the error that the system gave to a writer, None where it wrote."""
    try:
        write(*arguments)
    except OSError as error:
        return error.errno
    return None


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE], ids=errno.errorcode.get)
@pytest.mark.parametrize("kind", FILES)
def test_whichever_call_fails_the_old_file_is_whole_and_nothing_else_is_left(tmp_path, kind, code):
    write, read = FILES[kind]
    write(tmp_path, "first")
    before, there, handles = read(tmp_path), names(tmp_path), len(os.listdir("/proc/self/fd"))
    for number in itertools.count():
        with failing_call(number, code):
            found = error_of(write, tmp_path, "second one")
        if found is None:
            break
        assert found == code
        assert (read(tmp_path), names(tmp_path)) == (before, there)
        assert len(os.listdir("/proc/self/fd")) == handles
    assert number >= 3
    assert read(tmp_path) != before or kind == "history"


@pytest.mark.parametrize("kind", FILES)
def test_wherever_the_disk_is_full_the_old_file_is_whole(tmp_path, kind):
    write, read = FILES[kind]
    write(tmp_path, "first")
    before, there = read(tmp_path), names(tmp_path)
    for full in itertools.count():
        with full_after(full * 397):
            found = error_of(write, tmp_path, "second one")
        if found is None:
            break
        assert found == errno.EFBIG
        assert (read(tmp_path), names(tmp_path)) == (before, there)
    assert full > 3


def test_a_run_whose_recipe_cannot_be_written_is_none(tmp_path, recipe):
    for number in itertools.count():
        with failing_call(number, errno.ENOSPC):
            found = error_of(claim, tmp_path, Run(recipe, ("a", "b"), "folder", 10))
        if found is None:
            break
        assert found == errno.ENOSPC
        with pytest.raises(InputError, match="no trained run here"):
            load(tmp_path)
    assert load(tmp_path).class_names == ("a", "b")
