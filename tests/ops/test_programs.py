"""A program is for one shape: many numbers of examples share one, so that a long process compiles and keeps few."""

import jax
import pytest
from calls_of_ops import CALLS


@pytest.fixture
def compiled():
    """The programs compiled so far, a name each."""
    programs: list[str] = []

    def hear(event: str, seconds: float, **facts) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            programs.append(facts.get("fun_name", event))

    jax.monitoring.register_event_duration_secs_listener(hear)
    yield programs
    jax.monitoring.unregister_event_duration_listener(hear)


@pytest.mark.parametrize("name", CALLS)
def test_thirty_lengths_share_the_programs_of_one(name, compiled):
    CALLS[name](64)
    of_one = len(compiled)
    for n in range(34, 64):
        CALLS[name](n)
    assert compiled[of_one:] == []


def test_a_program_is_heard(compiled):
    jax.jit(lambda x: x + 1)(2)
    assert compiled
