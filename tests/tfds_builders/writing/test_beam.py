"""Build by Apache Beam: the same bytes as without, from Beam's own local runner with several worker processes."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import bigearthnet_v1_files
import pytest
from archive_files import write
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.proto import tf_example_pb2

from tfds_builders import ArchiveError, DualFormatBuilder, build
from tfds_builders.writing.beam import Notes, parse_beam_options, write_task
from tfds_builders.writing.pool import Shard, write_shards
from tfds_builders.writing.records import WRITERS, ShardResult, Skipped

_ROOT = Path(__file__).parents[3]
needs_beam = pytest.mark.skipif(importlib.util.find_spec("apache_beam") is None, reason="Apache Beam is not installed")
WORKER = b"apache_beam.runners.worker.sdk_worker_main"
# Builds a data set, in small shards, and prints what it has.
BUILD = """
import json, sys
import tfds_builders
from test_beam import TWO_PROCESSES

if __name__ == "__main__":
    name, archive, data_dir = sys.argv[1:]
    tfds_builders.DualFormatBuilder.SHARD_BYTES = 3000
    seen = []
    result = tfds_builders.build(name, archive=archive, data_dir=data_dir,
                                 beam_options=TWO_PROCESSES, progress=lambda *done: seen.append(done))
    print(json.dumps([result.splits, seen]))
"""
TWO_PROCESSES = ["runner=DirectRunner", "direct_num_workers=2", "direct_running_mode=multi_processing"]


def contents(folder: Path) -> dict[Path, bytes]:
    """Return all files below a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Numbered:
    """Examples that say which process made them; the third is skipped, or an error."""

    def __init__(self, first: int, fails: bool = False):
        self.first, self.fails = first, fails

    def __call__(self):
        for number in range(self.first, self.first + 4):
            if number % 4 == 2 and self.fails:
                raise ArchiveError(f"{number}: empty file")
            yield number, Skipped(f"{number}: bad") if number % 4 == 2 else {"number": number, "process": os.getpid()}


def shards_below(folder: Path, count: int, failing: int | None = None) -> list[Shard]:
    folder.mkdir(parents=True)
    return [
        Shard(Numbered(4 * i, i == failing), {name: str(folder / f"{i}.{name}") for name in WRITERS})
        for i in range(count)
    ]


def prepared(scratch: Path, shards: list[Shard]) -> Notes:
    scratch.mkdir(parents=True)
    notes = Notes(scratch)
    for number, shard in enumerate(shards):
        notes.write(f"{number}.task", shard)
    return notes


def run_with_beam(code: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run `code` in a process of its own, in which every warning that Beam gives is only a warning."""
    process = start_with_beam(code, *arguments)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def start_with_beam(code: str, *arguments: object) -> subprocess.Popen:
    """Start `code` likewise, in a session of its own."""
    path = os.pathsep.join(
        [str(_ROOT), str(Path(__file__).parent), str(_ROOT / "tests" / "helpers"), os.environ.get("PYTHONPATH", "")]
    )
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        cwd="/",
        start_new_session=True,
    )


# One task, which is all that a worker ever does


def test_a_task_writes_what_the_pool_writes(tmp_path):
    here = write_shards(shards_below(tmp_path / "pool", 3), 1, lambda more: None)
    shards = shards_below(tmp_path / "beam", 3)
    scratch = prepared(tmp_path / "scratch", shards)
    for number in (2, 0, 1):
        write_task(number, scratch)
    results = [scratch.read(f"{number}.done") for number in range(3)]
    assert results == here == [ShardResult(3, here[i].num_bytes, [f"{4 * i + 2}: bad"]) for i in range(3)]
    files = sorted(path.name for path in (tmp_path / "pool").iterdir())
    assert sorted(path.name for path in (tmp_path / "beam").iterdir()) == files
    for name in files:
        assert (tmp_path / "beam" / name).read_bytes() == (tmp_path / "pool" / name).read_bytes()
    assert sorted(path.suffix for path in (tmp_path / "scratch").iterdir()) == [".done"] * 3 + [".task"] * 3


def test_a_task_that_is_done_is_not_done_again(tmp_path):
    shards = shards_below(tmp_path / "out", 1)
    scratch = prepared(tmp_path / "scratch", shards)
    write_task(0, scratch)
    written = Path(shards[0].paths["tfrecord"]).stat().st_mtime_ns
    write_task(0, scratch)
    assert Path(shards[0].paths["tfrecord"]).stat().st_mtime_ns == written


def test_a_task_that_fails_leaves_its_error_and_stops_the_others(tmp_path):
    shards = shards_below(tmp_path / "out", 2, failing=0)
    scratch = prepared(tmp_path / "scratch", shards)
    for number in range(2):
        write_task(number, scratch)
    error = scratch.read("failed")
    assert (type(error), str(error)) == (ArchiveError, "2: empty file")
    assert list((tmp_path / "out").iterdir()) == []
    assert sorted(path.name for path in (tmp_path / "scratch").iterdir()) == ["0.task", "1.task", "failed"]


def test_a_pickle_of_somebody_else_is_not_opened(tmp_path):
    scratch = prepared(tmp_path / "scratch", shards_below(tmp_path / "out", 1))
    Notes(tmp_path / "scratch").write("0.task", Path("of another key"))
    write_task(0, scratch)
    with pytest.raises(ArchiveError, match=r"0\.task: changed by somebody else"):
        scratch.read("0.task")
    assert isinstance(scratch.read("failed"), ArchiveError)
    (tmp_path / "scratch" / "0.task").write_bytes(b"")
    with pytest.raises(ArchiveError, match="changed by somebody else"):
        scratch.read("0.task")


def test_without_beam_the_error_says_how_to_install_it(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.partition(".")[0] == "apache_beam"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ArchiveError, match=r"Beam options need Apache Beam .*pip install 'mtsccd-jax\[beam\]'"):
        build("mtsccd_lusc", archive=tmp_path, data_dir=tmp_path, beam_options=["runner=DirectRunner"])


# Pipelines


@needs_beam
def test_two_worker_processes_write_the_shards(tmp_path):
    code = """
    import json, sys
    from pathlib import Path
    from test_beam import TWO_PROCESSES, shards_below
    from tfds_builders.writing.beam import parse_beam_options, write_shards_with_beam

    if __name__ == "__main__":
        folder, seen = Path(sys.argv[1]), []
        options = parse_beam_options(TWO_PROCESSES)
        results = write_shards_with_beam(
            shards_below(folder / "out", 12), folder / "scratch", options, None, seen.append
        )
        print(json.dumps([[r.examples, r.skipped] for r in results]))
        print(sum(seen))
    """
    done = run_with_beam(code, tmp_path)
    assert done.returncode == 0, done.stderr
    results, seen = map(json.loads, done.stdout.splitlines())
    assert results == [[3, [f"{4 * i + 2}: bad"]] for i in range(12)]
    assert seen == 48
    processes = set()
    for index in range(12):
        source = ArrayRecordDataSource(str(tmp_path / "out" / f"{index}.array_record"))
        for record in source.__getitems__(range(3)):
            feature = tf_example_pb2.Example.FromString(record).features.feature
            processes.add(feature["process"].int64_list.value[0])
    assert len(processes) == 2
    assert os.getpid() not in processes


@needs_beam
@pytest.mark.parametrize(
    ("name", "write_archive", "examples"),
    [
        ("mtsccd_lusc", lambda folder: write(folder, 10), 100),
        ("bigearthnet_v1", bigearthnet_v1_files.write, 5),
    ],
    ids=["images", "patches"],
)
def test_a_build_by_beam_is_the_same_byte_for_byte(tmp_path, monkeypatch, name, write_archive, examples):
    archive = write_archive(tmp_path / "archive")
    monkeypatch.setattr(DualFormatBuilder, "SHARD_BYTES", 3000)
    here = build(name, archive=archive, data_dir=tmp_path / "here", workers=1)
    done = run_with_beam(BUILD, name, archive, tmp_path / "beam")
    assert done.returncode == 0, done.stderr
    splits, seen = json.loads(done.stdout)  # and nothing else is on standard output
    assert splits == here.splits
    assert seen == sorted(seen)
    assert seen[-1] == [examples, examples]
    assert len([path for path in contents(tmp_path / "here") if "record-" in path.name]) > 2 * 3, "several a split"
    assert contents(tmp_path / "beam") == contents(tmp_path / "here")


def workers_of(process: subprocess.Popen) -> list[int]:
    """Return the processes of Beam's workers in the session of a process."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            session = int((place / "stat").read_text().rpartition(") ")[2].split()[3])
            if session == process.pid and (place / "cmdline").read_bytes().endswith(b"\0-m\0" + WORKER + b"\0"):
                found.append(int(place.name))
    return found


@needs_beam
@pytest.mark.fault
@pytest.mark.parametrize("victim", ["the process that began it", pytest.param("a worker", marks=pytest.mark.slow)])
def test_a_build_by_beam_that_was_killed_is_made_again_byte_for_byte(tmp_path, monkeypatch, victim):
    archive = write(tmp_path / "archive", 60)
    monkeypatch.setattr(DualFormatBuilder, "SHARD_BYTES", 3000)
    build("mtsccd_lusc", archive=archive, data_dir=tmp_path / "here", workers=1)
    killed = start_with_beam(BUILD, "mtsccd_lusc", archive, tmp_path / "beam")
    while killed.poll() is None and not (workers_of(killed) and list((tmp_path / "beam").rglob("*.tfrecord"))):
        time.sleep(0.01)
    assert killed.poll() is None
    if victim == "a worker":
        os.kill(workers_of(killed)[-1], signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # Beam waits for the worker, for ever
            killed.wait(5)
    os.killpg(killed.pid, signal.SIGKILL)  # the workers too: Beam's own runner leaves them behind
    killed.communicate()
    done = run_with_beam(BUILD, "mtsccd_lusc", archive, tmp_path / "beam")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "beam") == contents(tmp_path / "here")


@needs_beam
def test_a_bad_file_is_named_and_nothing_is_left(tmp_path):
    archive = write(tmp_path / "archive", 10)
    bad = archive / "MtSCCD" / "HZ" / "T1" / "2" / "HZ_201310_0_1_2.jpg"
    bad.write_bytes(b"")
    code = """
    import sys
    import tfds_builders

    place = {"archive": sys.argv[1], "data_dir": sys.argv[2], "beam_options": ["runner=DirectRunner"]}
    try:
        tfds_builders.build("mtsccd_lusc", **place)
    except tfds_builders.ArchiveError as error:
        print(error)
    result = tfds_builders.build("mtsccd_lusc", skip_bad=True, **place)
    print(result.skipped[0], sum(result.splits.values()))
    """
    done = run_with_beam(code, archive, tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"{bad}: empty; replace or remove the file, or build with --skip-bad",
        f"{bad}: empty 99",
    ]
    assert not [path for path in (tmp_path / "data").rglob("*") if "scratch" in path.parts or "incomplete" in path.name]


@needs_beam
def test_a_pipeline_that_fails_outside_the_examples_can_be_run_again(tmp_path):
    code = """
    import sys
    from pathlib import Path
    from test_beam import shards_below
    from tfds_builders.writing.beam import parse_beam_options, write_shards_with_beam

    class Unlucky:
        def __call__(self):
            class Unknown(Exception):  # nobody can send it
                pass

            raise Unknown
            yield

    folder = Path(sys.argv[1])
    shards = shards_below(folder / "out", 2)
    object.__setattr__(shards[1], "examples", Unlucky())
    try:
        write_shards_with_beam(
            shards, folder / "scratch", parse_beam_options(["runner=DirectRunner"]), None, lambda more: None
        )
    except ChildProcessError as error:
        print(error)
    """
    done = run_with_beam(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the Beam pipeline failed (")
    assert done.stdout.endswith("run it again\n")


@needs_beam
def test_tfds_own_beam_settings_have_the_same_effect(tmp_path):
    archive = write(tmp_path / "archive", 10)
    code = """
    import sys
    import apache_beam as beam
    import tensorflow_datasets as tfds
    import tfds_builders
    from tfds_builders.writing import builder as writer

    asked = []
    whole = writer.write_shards_with_beam
    writer.write_shards_with_beam = lambda *settings: asked.append(settings[2:4]) or whole(*settings)
    options = beam.options.pipeline_options.PipelineOptions(["--direct_num_workers=1"])
    builder = tfds.builder("mtsccd_lusc", data_dir=sys.argv[2], archive=sys.argv[1])
    config = tfds.download.DownloadConfig(beam_runner="DirectRunner", beam_options=options)
    builder.download_and_prepare(download_config=config)
    print(asked == [(options, "DirectRunner")], len(builder.as_data_source("test_a")))
    """
    done = run_with_beam(code, archive, tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "20"]


@needs_beam
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["runer=DirectRunner"], "Beam knows no option 'runer'"),
        (["direct_running_mode=everywhere"], "Beam refuses one of them"),
        (["runner=NoRunner"], "NoRunner"),
    ],
)
def test_unknown_beam_options_are_refused(tmp_path, options, reason):
    archive = write(tmp_path / "archive", 10)
    with pytest.raises(ArchiveError, match=reason):
        build("mtsccd_lusc", archive=archive, data_dir=tmp_path / "data", beam_options=options)
    assert not list((tmp_path / "data").rglob("1.0.0*"))


@needs_beam
@pytest.mark.filterwarnings("ignore")
def test_options_may_have_their_dashes():
    parsed = parse_beam_options(["--direct_num_workers=3", "streaming", "no_pipeline_type_check"])
    assert parsed.get_all_options()["direct_num_workers"] == 3
    assert parsed.get_all_options()["streaming"] is True
    assert parsed.get_all_options()["pipeline_type_check"] is False
