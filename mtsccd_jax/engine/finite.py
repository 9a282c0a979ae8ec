"""Find values that are not finite in a state.

A compiled program may hide them: XLA:CPU makes 0 of the mean of a rectified map of NaN, so that such a network trains
and predicts without a word. Therefore the values themselves are looked at, and not only what a network makes of them.
On the host this takes a millisecond for a million values; a program that does it takes seconds to compile.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mtsccd_jax.engine.state import State
from mtsccd_jax.errors import RunError


def not_finite(tree: Any) -> str | None:
    """Return "the values of NAME are not finite (3 of 64)" of the first such array of a tree, None without one."""
    for path, value in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.issubdtype(value.dtype, jnp.floating) and not (finite := np.isfinite(np.asarray(value))).all():
            name = jax.tree_util.keystr(path, simple=True, separator=".").removesuffix(".value")
            return f"the values of {name} are not finite ({np.count_nonzero(~finite)} of {finite.size})"
    return None


def check_finite_state(state: State) -> None:
    """Raise RunError where a parameter, a running statistic or a value of the optimiser is not finite."""
    if found := not_finite(state):
        raise RunError(
            f"step {int(state.step)}: {found}; lower optim.learning_rate or set optim.clip_norm, and start in a new "
            "--workdir"
        )
