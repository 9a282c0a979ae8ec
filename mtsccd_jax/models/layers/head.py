"""What any network can have between features and classifier: dropout, and a new hidden layer."""

import jax
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.models.layers.blocks import Dropout, Names, torch_linear

# Tells the dropout of a head from those of the networks, whose salts are small.
SALT = 2**32 - 1


class Head(nnx.Module):
    """A classifier behind what its network was not published with: dropout, and a rectified hidden layer.

    Both layers of a head with a hidden one are new and begin as torch's do. Dropout is before the hidden layer, where
    networks with dropout of their own have it too: on the features, whatever is learned from them.

    Args:
        classifier: the network's own, which a hidden layer replaces.
        hidden: outputs of the hidden layer; None for none.
        dropout: share of the features that are zeroed in training.
        dtype: type of the computation.
        rngs: source of the initial weights.
    """

    def __init__(
        self, classifier: nnx.Linear, hidden: int | None, dropout: float, *, dtype: DTypeLike, rngs: nnx.Rngs
    ) -> None:
        self.dropout = Dropout(dropout, salt=SALT)
        features, classes = classifier.in_features, classifier.out_features
        self.hidden = None if hidden is None else torch_linear(features, hidden, dtype=dtype, rngs=rngs)
        self.output = classifier if hidden is None else torch_linear(hidden, classes, dtype=dtype, rngs=rngs)

    def __call__(self, features_bd: jax.Array) -> jax.Array:
        """(b, d) -> (b, k) float32."""
        x = self.dropout(features_bd)
        return self.output(x if self.hidden is None else nnx.relu(self.hidden(x)))


def head_names(prefix: str, head: Head) -> Names:
    """What the layers of a head are called: a classifier alone as it was published, two layers under it."""
    if head.hidden is None:
        yield prefix, head.output
    else:
        yield f"{prefix}.hidden", head.hidden
        yield f"{prefix}.output", head.output
