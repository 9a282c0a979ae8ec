"""The worker processes: results, errors, deaths, and what they must not touch."""

import functools
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from array_record.python.array_record_data_source import ArrayRecordDataSource

from tfds_builders.reading.archive import ArchiveError
from tfds_builders.writing.pool import Shard, write_shards
from tfds_builders.writing.records import WRITERS, Skipped


def numbers(start: int, count: int):
    for number in range(start, start + count):
        yield number, {"number": number, "process": os.getpid()}


def one_skipped():
    yield 0, {"number": 0}
    yield 1, Skipped("a.jpg: empty file")


def wrong():
    yield 0, {"number": 0}
    raise ArchiveError("b.jpg: truncated")


def killed():
    yield 0, {"number": 0}
    os.kill(os.getpid(), signal.SIGKILL)


def chatty():
    print("a library prints")
    yield 0, {"number": 0}


def endless():
    while True:
        yield 0, {"number": 0}
        time.sleep(0.001)


def shard(examples, folder: Path, index: int) -> Shard:
    return Shard(examples, {name: str(folder / f"{index}.{name}") for name in WRITERS})


def shards(folder: Path, *functions) -> list[Shard]:
    return [shard(examples, folder, index) for index, examples in enumerate(functions)]


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_shards(tmp_path, workers):
    seen: list[int] = []
    sizes = (130, 1, 70, 200, 3)
    work = shards(tmp_path, *(functools.partial(numbers, 1000 * i, size) for i, size in enumerate(sizes)), chatty)
    results = write_shards(work, workers, seen.append)
    assert [result.examples for result in results] == [*sizes, 1]
    assert sum(seen) == sum(sizes) + 1
    for part, size in zip(work, sizes, strict=False):
        assert len(ArrayRecordDataSource(part.paths["array_record"])) == size


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_error_stops_everything(tmp_path, workers):
    functions = [endless, wrong] if workers > 1 else [wrong, endless]
    with pytest.raises(ArchiveError, match=r"b\.jpg: truncated"):
        write_shards(shards(tmp_path, *functions), workers, lambda more: None)


def test_skipped_examples_come_back_from_a_worker(tmp_path):
    results = write_shards(shards(tmp_path, one_skipped, one_skipped), 2, lambda more: None)
    assert [result.skipped for result in results] == [["a.jpg: empty file"]] * 2


def test_a_killed_worker_is_an_error_not_a_hang(tmp_path):
    with pytest.raises(ChildProcessError, match=r"exit status -9"):
        write_shards(shards(tmp_path, endless, killed), 2, lambda more: None)


def test_a_caller_without_a_main_guard_is_not_run_again(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
        import functools, sys
        print("started")
        import tfds_builders
        sys.path.insert(0, sys.argv[1])
        import test_pool as t
        from pathlib import Path
        work = t.shards(Path(sys.argv[2]), *[functools.partial(t.numbers, 0, 5)] * 3)
        print(sum(result.examples for result in t.write_shards(work, 2, lambda more: None)))
        """)
    )
    command = [sys.executable, str(script), str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["started", "15"]


@pytest.mark.fault
def test_workers_end_with_a_killed_caller(tmp_path):
    code = textwrap.dedent("""
        import sys
        sys.path.insert(0, sys.argv[1])
        import test_pool as t
        from pathlib import Path
        t.write_shards(t.shards(Path(sys.argv[2]), t.endless, t.endless), 2, lambda more: print(more, flush=True))
    """)
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        caller.stdout.readline()  # both formats are being written
        children = Path(f"/proc/{caller.pid}/task/{caller.pid}/children")
        if not children.exists():
            caller.kill()
            pytest.skip("this system does not list the children of a process")
        workers = [int(pid) for pid in children.read_text().split()]
        caller.kill()
    assert len(workers) == 2
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in workers):
            return
        time.sleep(0.05)
    raise AssertionError("a worker outlived its caller by ten seconds")
