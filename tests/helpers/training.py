"""Stop a training after a step, and compare what trainings end with."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import numpy as np
import pytest

from mtsccd_jax.engine.evaluate import load_trained
from mtsccd_jax.engine.loop import MetricsLog, Stopped


@contextmanager
def stopped_after(step: int) -> Iterator[None]:
    """Send SIGTERM to the training in this block once it has done `step`, and expect it to stop."""
    add = MetricsLog.add

    def add_and_stop(self: MetricsLog, last_step: int, *dispatch: Any) -> None:
        add(self, last_step, *dispatch)
        if last_step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with mock.patch.object(MetricsLog, "add", add_and_stop), pytest.raises(Stopped, match="SIGTERM") as caught:
        yield
    assert caught.value.signum == signal.SIGTERM


def result(workdir: Path) -> Any:
    """Return the state that evaluations of a work directory use, on the host."""
    return jax.device_get(load_trained(workdir).state)


def assert_close(one: Any, other: Any, tolerance: float = 0.0) -> None:
    """Compare all arrays of two trees; without a tolerance bit by bit."""
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
