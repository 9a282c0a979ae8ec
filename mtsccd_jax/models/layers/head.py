"""A classifier with what its network was published without: dropout, and a new hidden layer."""

import jax
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.dropout import Dropout
from mtsccd_jax.models.layers.linear import torch_linear
from mtsccd_jax.models.network import Names

# Differs from the salts of the networks' own dropout, which are small.
SALT = 2**32 - 1


class Head(nnx.Module):
    """Dropout, a rectified hidden layer and a classifier, one after the other; hidden layer and dropout are optional.

    With a hidden layer both layers are new, with torch's initial weights; without, `classifier` is the network's own.
    """

    def __init__(
        self, classifier: nnx.Linear, hidden: int | None, dropout: float, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.dropout = Dropout(dropout, salt=SALT)
        features, classes = classifier.in_features, classifier.out_features
        self.hidden = None if hidden is None else torch_linear(features, hidden, dtype=dtype, rngs=rngs)
        self.output = classifier if hidden is None else torch_linear(hidden, classes, dtype=dtype, rngs=rngs)

    def __call__(self, features_bd: jax.Array) -> jax.Array:
        """Map (b, d) to (b, k) float32."""
        x = self.dropout(features_bd)
        return self.output(x if self.hidden is None else nnx.relu(self.hidden(x)))


def head_names(prefix: str, head: Head) -> Names:
    """Yield the names of the layers: the published one for a classifier alone, two below it with a hidden layer."""
    if head.hidden is None:
        yield prefix, head.output
    else:
        yield f"{prefix}.hidden", head.hidden
        yield f"{prefix}.output", head.output
