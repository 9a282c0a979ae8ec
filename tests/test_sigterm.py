"""SIGTERM ends a command as Ctrl-C does: what it was writing is removed, and one line says so."""

import signal
import sys
import time

import pytest
from commands import run

from mtsccd_jax.files import replacing


@pytest.mark.parametrize(("signum", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_that_is_stopped_cleans_up(capsys, monkeypatch, tmp_path, signum, status):
    def stopped(*_):
        with replacing(tmp_path / "page") as stream:
            stream.write(b"half")
            signal.raise_signal(signum)
        return tmp_path / "page"

    monkeypatch.setattr("mtsccd_jax.report.page.write", stopped)
    before, ignored = signal.getsignal(signal.SIGTERM), signal.signal(signal.SIGINT, signal.default_int_handler)
    found, result, err = run(capsys, "report", tmp_path)
    signal.signal(signal.SIGINT, ignored)  # as a shell has it for what runs in its background
    assert (found, result, len(err.splitlines())) == (status, None, 1)
    assert signal.getsignal(signal.SIGTERM) == before
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_has_its_usual_effect(capsys, monkeypatch, tmp_path):
    seen = []

    def stopped(*_):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            seen.append(signal.getsignal(signal.SIGTERM))

    monkeypatch.setattr("mtsccd_jax.report.page.write", stopped)
    before = signal.getsignal(signal.SIGTERM)
    assert run(capsys, "report", tmp_path)[0] == 143
    assert seen == [before]


def test_a_signal_in_garbage_collection_is_not_lost(capsys, monkeypatch, tmp_path):
    class Collected:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def stopped(*_):
        Collected()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            time.sleep(0.01)

    monkeypatch.setattr("mtsccd_jax.report.page.write", stopped)
    before = sys.unraisablehook, signal.getsignal(signal.SIGALRM)
    found, result, err = run(capsys, "report", tmp_path)
    assert (found, result, len(err.splitlines())) == (143, None, 1)
    assert (sys.unraisablehook, signal.getsignal(signal.SIGALRM)) == before
