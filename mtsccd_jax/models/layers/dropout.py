"""Dropout of values, and of whole residual branches (stochastic depth)."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
from flax import nnx


class Dropout(nnx.Module):
    """Zero values at random and scale the others up, so that the mean stays the same (arXiv:1207.0580).

    The random keys come from outside, one for each example: `nnx.view(model, example_keys=keys_b)`. So a mask depends
    on its example alone, not on how the batch is divided over devices. Without keys nothing is dropped.

    Where an example has several rows, they are consecutive and share one mask. The layers of a network differ in `salt`
    and so in their masks. `whole_example` zeroes all values of an example or none (stochastic depth).
    """

    def __init__(self, rate: float, *, salt: int, whole_example: bool = False) -> None:
        self.rate = rate
        self.salt = salt
        self.whole_example = whole_example
        self.example_keys: jax.Array | None = nnx.data(None)

    def set_view(self, example_keys: jax.Array | None = None) -> None:
        """Take the options of `nnx.view`; None changes nothing.

        Args:
          example_keys: one key of `jax.random` for each example of the batch.
        """
        if example_keys is not None:
            self.example_keys = example_keys

    def __call__(self, x: jax.Array) -> jax.Array:
        """Map (b, ...) to (b, ...), or (rows b, ...) to (rows b, ...)."""
        if self.example_keys is None or self.rate == 0:
            return x
        shape = (1,) * (x.ndim - 1) if self.whole_example else x.shape[1:]
        kept = 1 - self.rate

        def keep(key: jax.Array) -> jax.Array:
            return jax.random.bernoulli(jax.random.fold_in(key, self.salt), kept, shape)

        mask = jax.vmap(keep)(self.example_keys)
        if (rows := len(x) // len(mask)) > 1:
            mask = jnp.repeat(mask, rows, axis=0)
        return jnp.where(mask, x / kept, 0).astype(x.dtype)


def drop_path(rate: float, salt: int) -> Dropout:
    """Return the stochastic depth of a residual branch, which examples skip at this rate."""
    return Dropout(rate, salt=salt, whole_example=True)


def drop_path_rates(last: float | None, blocks: int) -> list[float]:
    """Return the stochastic depth rate of each block, on a line from 0 to `last`; all are 0 for None.

    This is equation 4 of arXiv:1603.09382, starting at the first block as in timm.
    """
    return [(last or 0.0) * block / max(blocks - 1, 1) for block in range(blocks)]


def drop_paths(last: float | None, blocks: int) -> Iterator[Dropout]:
    """Yield the stochastic depth of each block in order, at the rates of `drop_path_rates`."""
    for index, rate in enumerate(drop_path_rates(last, blocks)):
        yield drop_path(rate, salt=index)
