"""A siamese network, which scores the change between the two dates of a pair, around any network of the table.

Similarity learning for scene change detection (SSCD) fuses a global and a local similarity of both dates: Huang and
Zhou 2022, as cited by the MtSCCD paper (its Table 7, VGG16). Neither the fusion nor the loss of the original is public.
We take over the idea, to learn a fusion of global features and of the similarity of feature maps. The rest is ours:

- one backbone with shared weights sees both dates; batch statistics are those of both dates together;
- the global part: features f1, f2 are scaled to a root mean square of 1; |f1 - f2| and f1 f2 go through a linear layer
  and a ReLU;
- the local part: each place of one date's last map is compared by cosine similarity with the places of the other date's
  map within `radius` cells, and the best counts, so that a small shift is no change; equal places are compared as well;
- mean, standard deviation and minimum of both similarities over the map, averaged over both directions, go through a
  batch normalisation; one hidden layer fuses them with the global part;
- every part is symmetric in the dates, so exchanging them changes nothing.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from mtsccd_jax.errors import InputError
from mtsccd_jax.models.layers.linear import torch_linear
from mtsccd_jax.models.layers.normalization import BatchNorm
from mtsccd_jax.models.network import ImageNetwork, Output

# Mean, standard deviation and minimum of the best similarity within the radius, and of that of equal places.
STATISTICS = 6


class PairOutput(NamedTuple):
    """The output of a siamese network for a batch of pairs.

    Attributes:
        change_b: (b,) float32, the logit of "changed"; the similarity of the dates is the sigmoid of its negative.
        scenes: the backbone's output for all 2b images, the two dates of a pair one after the other.
    """

    change_b: jax.Array
    scenes: Output


class Siamese(nnx.Module):
    """A backbone that sees both dates of a pair, and the layers that fuse its outputs to one logit of change.

    The global part and the fusing layer have `width` outputs. Each place of a map is compared with the places of the
    other date's map within `radius` cells. Images have three channels.

    Raises:
        InputError: the width is not positive or the radius is negative.
    """

    def __init__(self, backbone: ImageNetwork, image_size: int, width: int, radius: int, *, rngs: nnx.Rngs) -> None:
        if width < 1:
            raise InputError(f"similarity.width={width}: must be positive")
        if radius < 0:
            raise InputError(f"similarity.radius={radius}: must not be negative; 0 compares equal places alone")
        self.backbone = backbone
        self.radius = radius
        self.globally = torch_linear(2 * _feature_width(backbone, image_size), width, rngs=rngs)
        self.locally = BatchNorm(STATISTICS)
        self.fusion = torch_linear(width + STATISTICS, width, rngs=rngs)
        self.head = torch_linear(width, 1, rngs=rngs)

    def __call__(self, t1_bhwc: jax.Array, t2_bhwc: jax.Array) -> PairOutput:
        """Return the logit of change of every pair, and the backbone's output for both dates."""
        # Dates alternate, so that a batch divided over devices keeps both dates of a pair on one.
        image_bhwc = jnp.stack([t1_bhwc, t2_bhwc], axis=1).reshape(-1, *t1_bhwc.shape[1:])
        scenes: Output = self.backbone(image_bhwc)
        t1_bd, t2_bd = dates(_unit_scale(scenes.features))
        seen = jnp.concatenate([jnp.abs(t1_bd - t2_bd), t1_bd * t2_bd], axis=-1)
        statistics = self.locally(local_statistics(*dates(scenes.feature_map), self.radius))
        fused = jnp.concatenate([nnx.relu(self.globally(seen)), statistics], axis=-1)
        return PairOutput(self.head(nnx.relu(self.fusion(fused)))[:, 0], scenes)


def backbone_of(model: nnx.Module) -> nnx.Module:
    """Return the network that sees one image: the backbone of a siamese network, or the network itself."""
    return model.backbone if isinstance(model, Siamese) else model


def dates(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the values of each date, (b, ...), from those of alternating dates, (2b, ...)."""
    both = values.reshape(-1, 2, *values.shape[1:])
    return both[:, 0], both[:, 1]


def local_statistics(t1_bhwc: jax.Array, t2_bhwc: jax.Array, radius: int) -> jax.Array:
    """Return the statistics of the similarity of two maps, (b, STATISTICS) float32, which are symmetric in the maps.

    Mean, standard deviation and minimum over the map of each place's largest cosine similarity with the places of the
    other map within `radius` cells, averaged over both directions; then the same of the similarity of equal places.
    """
    t1_bhwc, t2_bhwc = _unit_length(t1_bhwc), _unit_length(t2_bhwc)
    height, width = t1_bhwc.shape[1:3]
    row_h, column_w = np.arange(height), np.arange(width)
    near_hi = np.abs(row_h[:, None] - row_h) <= radius
    near_wj = np.abs(column_w[:, None] - column_w) <= radius
    near_hwij = near_hi[:, None, :, None] & near_wj[None, :, None, :]
    # Accelerators would round the factors, but the similarities of equal places are close to 1 and to each other.
    cosine_bhwij = jnp.einsum("bhwc,bijc->bhwij", t1_bhwc, t2_bhwc, precision=jax.lax.Precision.HIGHEST)
    cosine_bhwij = jnp.where(near_hwij, cosine_bhwij, -1.0)
    from_t1, from_t2 = _summary(cosine_bhwij.max((3, 4))), _summary(cosine_bhwij.max((1, 2)))
    return jnp.concatenate([(from_t1 + from_t2) / 2, _summary(jnp.sum(t1_bhwc * t2_bhwc, -1))], axis=-1)


def _summary(value_bhw: jax.Array) -> jax.Array:
    """Return mean, standard deviation and minimum over the map, (b, 3)."""
    mean, variance = value_bhw.mean((1, 2)), value_bhw.var((1, 2))
    # The root has no gradient at zero.
    return jnp.stack([mean, jnp.sqrt(variance + 1e-6), value_bhw.min((1, 2))], axis=-1)


def _unit_scale(feature_bd: jax.Array) -> jax.Array:
    """Scale features to a root mean square of 1, which is what initial weights are made for."""
    return feature_bd * jax.lax.rsqrt(jnp.mean(jnp.square(feature_bd), -1, keepdims=True) + 1e-6)


def _unit_length(map_bhwc: jax.Array) -> jax.Array:
    """Scale the vector at every place of a map to length 1, in float32."""
    map_bhwc = map_bhwc.astype(jnp.float32)
    return map_bhwc * jax.lax.rsqrt(jnp.sum(jnp.square(map_bhwc), -1, keepdims=True) + 1e-6)


def _feature_width(backbone: nnx.Module, image_size: int) -> int:
    """Return the width of a backbone's features from shapes alone."""
    evaluated = nnx.view(backbone, use_running_average=True, raise_if_not_found=False)
    image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    output: Output = nnx.eval_shape(lambda model, image: model(image), evaluated, image)
    return output.features.shape[-1]
