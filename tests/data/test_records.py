"""Records of many shards: few files are open at once, and an error of the operating system is told as what it is."""

import errno
import pickle
import subprocess
import sys

import pytest
from array_record.python import array_record_module

from mtsccd_jax.data import records as module
from mtsccd_jax.data.records import Records, Shard
from mtsccd_jax.errors import InputError
from tfds_builders.reading.record_files import TFRecordFile
from tfds_builders.writing.records import WRITERS

SHARDS, ROWS = 120, 3


def write_shards(folder, shards, rows=ROWS, form="array_record"):
    paths = [folder / f"{shard}.{form}" for shard in range(shards)]
    for shard, path in enumerate(paths):
        with WRITERS[form](str(path)) as write:
            for row in range(rows):
                write(f"{shard} {row}".encode())
    return Records([Shard(path, 0, rows) for path in paths])


@pytest.fixture(scope="module", params=WRITERS)
def records(request, tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("shards"), SHARDS, form=request.param)


# Reads every shard twice with a limit on open files: by threads, by a forked process, with the limit lowered halfway.
FEW_FILES = """
import os, pickle, resource, sys
from concurrent.futures import ThreadPoolExecutor
limit = lambda most: resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
limit({before})
records = pickle.load(sys.stdin.buffer)
open_files = lambda: len(os.listdir("/proc/self/fd"))
rows = [*range(0, len(records), 2), *range(len(records))]
def check():
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(records.__getitem__, rows)) == [b"%d %d" % divmod(row, 3) for row in rows]
check()
assert open_files() < {before}, open_files()
limit({after})
check()
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
else:
    check()
    os._exit(0)
"""


@pytest.mark.parametrize(("before", "after"), [(64, 64), (1024, 80)])
@pytest.mark.filterwarnings("ignore")  # of forking
def test_more_shards_than_files_that_may_be_open(records, before, after):
    code = FEW_FILES.format(before=before, after=after)
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(records), capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("open() failed: Permission denied; opening x", OSError, errno.EACCES),
        ("pread() failed: Input/output error; reading x", OSError, errno.EIO),
        ("pread() failed: Stale file handle; reading x", OSError, errno.ESTALE),
        ("open() failed: Too many open files; opening x", OSError, errno.EMFILE),
        ("fstat() failed: nobody knows why", OSError, errno.EIO),
        ("Corrupted Riegeli/records file: chunk data hash mismatch; at byte 7", InputError, "is damaged (Corrupted"),
    ],
)
def test_errors_of_the_system_are_not_told_as_damage(tmp_path, monkeypatch, text, kind, words):
    class Broken:
        def __init__(self, *arguments, **options):
            raise RuntimeError(text)

    records = write_shards(tmp_path, 1)
    module._file.cache_clear()
    monkeypatch.setattr(array_record_module, "ArrayRecordReader", Broken)
    with pytest.raises(kind) as caught:
        records[0]
    if kind is OSError:
        assert (caught.value.errno, caught.value.filename) == (words, str(records.shards[0].path))
    else:
        assert words in str(caught.value)


@pytest.mark.parametrize("form", WRITERS)
def test_a_data_set_built_again_is_read_from_its_new_files(tmp_path, form):
    assert write_shards(tmp_path, 1, form=form)[0] == b"0 0"
    (tmp_path / f"0.{form}").unlink()
    records = write_shards(tmp_path, 1, rows=5, form=form)
    assert (len(records), records[4]) == (5, b"0 4")
    (tmp_path / f"0.{form}").unlink()
    with pytest.raises(InputError, match="is missing"):
        Records(records.shards)[0]


def test_a_tfrecord_file_is_walked_once(tmp_path, monkeypatch):
    """However often it is closed for others and opened again."""
    records, walked = write_shards(tmp_path, 4, form="tfrecord"), []
    walk = TFRecordFile._walk
    monkeypatch.setattr(TFRecordFile, "_walk", lambda file: walked.append(file.path) or walk(file))
    for _ in range(3):
        module._file.cache_clear()
        assert list(records) == [b"%d %d" % divmod(row, ROWS) for row in range(len(records))]
    assert walked == [shard.path for shard in records.shards]


def test_no_changed_byte_of_a_tfrecord_file_is_read(tmp_path):
    write_shards(tmp_path, 1, form="tfrecord")
    path = tmp_path / "0.tfrecord"
    content = path.read_bytes()
    for damaged in [
        content[:place] + bytes([content[place] ^ 8]) + content[place + 1 :] for place in range(len(content))
    ]:
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="is damaged; build the data set again"):
            list(map(Records([Shard(path, 0, ROWS)]).__getitem__, range(ROWS)))
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="is damaged"):
            list(map(Records([Shard(path, 0, ROWS)]).__getitem__, range(ROWS)))


def test_a_tfrecord_file_on_a_failing_disk_is_an_error_of_the_system(tmp_path, monkeypatch):
    records = write_shards(tmp_path, 1, form="tfrecord")

    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.pread", fail)
    with pytest.raises(OSError, match="Input/output") as caught:
        records[0]
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(records.shards[0].path))
