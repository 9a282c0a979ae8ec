"""Operations counted in compiled programs, and a step that does nothing."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from mtsccd_jax.perf.profile.overhead import Chain, _chain, count_operations, idle_step
from mtsccd_jax.perf.timing import Timing

PROGRAM = """HloModule jit_step, entry_computation_layout={(f32[4]{0})->f32[4]{0}}

%fused_computation (param_0: f32[4]) -> f32[4] {
  %param_0 = f32[4]{0} parameter(0)
  ROOT %b = f32[4]{0} multiply(%param_0, %param_0)
}

%inside (p: f32[4]) -> f32[4] {
  %p = f32[4]{0} parameter(0)
  %c = f32[4]{0} copy(%p)
  ROOT %d = f32[4]{0} fusion(%c), kind=kLoop, calls=%fused_computation
}

%condition (p.1: (s32[], f32[4])) -> pred[] {
  %p.1 = (s32[], f32[4]{0}) parameter(0)
  ROOT %less = pred[] compare(%p.1, %p.1), direction=LT
}

%body (p.2: (s32[], f32[4])) -> (s32[], f32[4]) {
  %p.2 = (s32[], f32[4]{0}) parameter(0)
  %item = f32[4]{0} get-tuple-element(%p.2), index=1
  %e = f32[4]{0} fusion(%item), kind=kLoop, calls=%fused_computation
  %f = f32[4,4]{1,0} dot(%e, %e)
  ROOT %t = (s32[], f32[4]{0}) tuple(%item, %e)
}

ENTRY %main (x: f32[4]) -> f32[4] {
  %x = f32[4]{0} parameter(0)
  %one = f32[] constant(1)
  %call = f32[4]{0} call(%x), to_apply=%inside
  %w = (s32[], f32[4]{0}) while(%call), condition=%condition, body=%body, backend_config={"known_trip_count":{"n":"5"}}
  %g = f32[4]{0} custom-call(%w), custom_call_target="library", calls=%fused_computation
  ROOT %r = f32[4]{0} bitcast(%g)
}
"""


def test_operations_are_those_a_device_is_asked_for():
    # Two in the call, two in each of five turns, and the library.
    assert count_operations(PROGRAM) == 2 + 5 * 2 + 1
    assert count_operations(PROGRAM.replace(', backend_config={"known_trip_count":{"n":"5"}}', "")) == 2 + 2 + 1
    assert count_operations("") == 0


def operations(function, *args) -> int:
    """Return the operations of a program that is compiled here."""
    return count_operations(jax.jit(function).lower(*args).compile().as_text())


def test_operations_of_programs_compiled_here():
    assert operations(lambda a, b: jnp.sort(a @ b), jnp.ones((4, 4)), jnp.ones((4, 4))) >= 2
    assert operations(lambda a: a, 1.0) <= 1

    # Shapes of six results and more are printed with comments between them.
    def steps(state, length):
        return jax.lax.scan(lambda arrays, _: ([a @ a for a in arrays], None), state, length=length)[0]

    short, long = (operations(partial(steps, length=length), [jnp.ones((4, 4))] * 8) for length in (10, 110))
    assert long - short >= 100 * 8


def test_a_chain_cannot_be_made_one_operation():
    chain = Chain(jax.devices()[0])
    assert chain.operations >= 64
    assert jnp.isfinite(chain.run()).all()
    assert jnp.isfinite(chain.run_single()).all()
    operations = chain.operations - 1
    assert chain.operation_s(Timing((9.0, 5.0)), Timing((1.0, 3.0))) == 4.0 / operations, "what is called costs as well"
    assert chain.operation_s(Timing((1.0,)), Timing((2.0,))) == 0.0


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Counted:
    """A state of one array and a step count."""

    step: jax.Array
    weight: jax.Array


def test_an_idle_step_has_the_results_of_the_step_and_none_of_its_work():
    def step(state, batch):
        weight = state.weight @ batch["image"]
        return Counted(state.step + 1, weight), {"loss": weight.sum(), "seen": batch["image"].shape[0] + state.step}

    state, batch = Counted(jnp.int32(3), jnp.ones((2, 2))), {"image": jnp.ones((2, 2))}
    after, metrics = idle_step(step, state, batch)(state, batch)
    assert int(after.step) == 4
    assert after.weight is state.weight
    assert {name: (value.shape, value.dtype) for name, value in metrics.items()} == {
        "loss": ((), jnp.float32),
        "seen": ((), jnp.int32),
    }


def test_the_chain_lowers_for_accelerators():
    traced = jax.jit(_chain).trace(jnp.ones((8, 128)))
    for platform in ("cuda", "tpu"):
        assert "stablehlo" in traced.lower(lowering_platforms=(platform,)).as_text()
