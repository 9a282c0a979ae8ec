"""Who the processes of a command are, and what a process that is alone makes of them."""

import jax
import numpy as np
import pytest

from mtsccd_jax import processes
from mtsccd_jax.cli import main
from mtsccd_jax.errors import InputError, RunError
from mtsccd_jax.processes import Share

SLURM = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "a", "SLURM_LOCALID": "0", "SLURM_PROCID": "0"}
JAX = {"JAX_COORDINATOR_ADDRESS": "a:1", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1"}
VARIABLES = {*SLURM, *JAX, "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"}


@pytest.fixture
def asked_for(monkeypatch):
    """What JAX's runtime was asked for, without starting it."""
    asked = []
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(jax.distributed, "initialize", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(processes.watchdog, "on_abort", lambda reason: None)
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: None)
    return asked


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, []),
        (SLURM | {"SLURM_NTASKS": "2"}, [(None, None, None)]),
        (SLURM | {"SLURM_NTASKS": "1"}, []),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8"}, []),  # in a batch script, outside of srun
        ({"OMPI_COMM_WORLD_SIZE": "4"}, [(None, None, None)]),
        ({"OMPI_COMM_WORLD_SIZE": "1"}, []),
        (JAX, [("a:1", 2, 1)]),
        ({"KUBERNETES_SERVICE_HOST": "a"}, []),
        ({"KUBERNETES_SERVICE_HOST": "a", "JOB_COMPLETION_INDEX": "1"}, [(None, None, None)]),
    ],
)
def test_a_launcher_announces_its_processes(asked_for, monkeypatch, variables, asked):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    processes.start(None, None, None)
    assert asked_for == asked


def test_options_go_before_the_launcher(asked_for, monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")
    processes.start("host:1234", 2, 0)
    assert asked_for == [("host:1234", 2, 0)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--processes=2"], "belong together; --coordinator, --process-id is missing"),
        (["--processes=2", "--process-id=2", "--coordinator=a:1"], "of 2 processes they are 0 to 1"),
        (["--processes=2", "--process-id=0", "--coordinator=host"], "--coordinator host: expected HOST:PORT"),
    ],
)
def test_wrong_options_are_one_line(asked_for, tmp_path, capsys, options, message):
    assert main(["train", "demo", "--workdir", str(tmp_path / "run"), *options]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert len(complaint.splitlines()) == 1
    assert not asked_for


def test_a_number_that_is_none_is_named(asked_for, monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(InputError, match="JAX_NUM_PROCESSES=two: expected a number"):
        processes.start(None, None, None)


def test_a_port_that_is_taken_is_told(monkeypatch):
    monkeypatch.setattr(processes.watchdog, "on_abort", lambda reason: None)

    def initialize(*arguments):
        raise RuntimeError("Failed to start\nRPC server")

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(RunError, match=r"^a:1: the processes do not come together \(Failed to start RPC server\)$"):
        processes.start("a:1", 2, 0)


def test_alone_everything_is_ones_own():
    assert (processes.index(), processes.count(), processes.is_first()) == (0, 1, True)
    assert processes.from_first([1, None]) == [1, None]
    assert processes.by_first(lambda: 3) == 3
    with pytest.raises(InputError, match="wrong"), processes.together():
        raise InputError("wrong")


def test_a_share_of_one_is_all():
    rows = Share((np.arange(5),))
    values = np.arange(10.0).reshape(5, 2)
    assert rows.whole(values) is values
    assert rows.each(np.negative, values).tolist() == (-values).tolist()
    assert rows.among(np.array([1, 3])).own.tolist() == [0, 1]


def test_shares_are_put_back_in_order(monkeypatch):
    """Two processes, the other one's rows as this one would receive them."""
    rows = Share((np.array([0, 1, 4]), np.array([2, 3])))
    monkeypatch.setattr(processes, "index", lambda: 1)
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes, "joined", lambda own, lengths: np.concatenate([np.array([10, 11, 14]), own]))
    assert rows.own.tolist() == [2, 3]
    assert rows.whole(np.array([12, 13])).tolist() == [10, 11, 12, 13, 14]
    seen = []
    assert rows.each(lambda own: seen.append(len(own)) or own + 0, np.array([12, 13])).tolist() == [*range(10, 15)]
    assert seen == [3], "every process computes as many rows"
    assert [part.tolist() for part in rows.among(np.array([1, 2, 4])).rows] == [[0, 2], [1]]
