"""A siamese network that says how likely the two dates of a pair differ, around any backbone of the table.

Similarity learning for scene change detection (SSCD) fuses a global and a local similarity of both dates: Huang and
Zhou 2022, as the MtSCCD paper cites it (its Table 7, VGG16). Neither the fusion nor the loss of the original is public.
What follows is ours; only the idea, global features and the similarity of feature maps fused and learned, is theirs:

- one backbone with shared weights sees both dates; batch statistics are those of both dates together;
- global: of features f1, f2 scaled to a root mean square of 1, |f1 - f2| and f1 f2 go through a linear layer and a
  ReLU;
- local: the cosine similarity of every place of one date's last map with the places within `radius` cells of the other
  date's, of which the best counts, so that a small shift is no change; and that of equal places;
- the mean, deviation and minimum over the map of these, averaged over both directions, are standardised (batch norm)
  and fused with the global part by one hidden layer;
- every part treats the dates alike, so exchanging them changes nothing.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import create_model
from mtsccd_jax.models.layers.blocks import BatchNorm, Output, torch_linear

# Mean, deviation and minimum of the best similarity nearby and of the similarity of equal places.
STATISTICS = 6


class Judgement(NamedTuple):
    """What a siamese network returns for a batch of pairs.

    Attributes:
        change_b: (b,) float32, the logit of "changed"; the similarity of both dates is the sigmoid of its negative.
        scenes: the backbone's output on all 2b images, the two dates of a pair one after the other.
    """

    change_b: jax.Array
    scenes: Output


class Siamese(nnx.Module):
    """A backbone that sees both dates of a pair, and the layers that fuse what it sees to one logit of change.

    Args:
        backbone: a network of the table.
        image_size: side of the images in pixels; tells the widths of features and map.
        hidden: width of the global part and of the layer that fuses.
        radius: a place is compared with those within so many cells of the other date's map.
        rngs: source of the initial weights.

    Raises:
        InputError: the width is not positive or the radius negative.
    """

    def __init__(self, backbone: nnx.Module, image_size: int, hidden: int, radius: int, *, rngs: nnx.Rngs) -> None:
        if hidden < 1:
            raise InputError(f"similarity.width={hidden}: must be positive")
        if radius < 0:
            raise InputError(f"similarity.radius={radius}: must not be negative; 0 compares equal places alone")
        self.backbone = backbone
        self.radius = radius
        self.globally = torch_linear(2 * _feature_width(backbone, image_size), hidden, rngs=rngs)
        self.locally = BatchNorm(STATISTICS)
        self.fusion = torch_linear(hidden + STATISTICS, hidden, rngs=rngs)
        self.head = torch_linear(hidden, 1, rngs=rngs)

    def __call__(self, t1_bhwc: jax.Array, t2_bhwc: jax.Array) -> Judgement:
        """The logit of change of every pair, and what the backbone says of both dates."""
        # Dates alternate, so that a batch divided over devices keeps both dates of a pair on one.
        image_bhwc = jnp.stack([t1_bhwc, t2_bhwc], axis=1).reshape(-1, *t1_bhwc.shape[1:])
        scenes: Output = self.backbone(image_bhwc)
        t1_bd, t2_bd = dates(_unit_scale(scenes.features))
        seen = jnp.concatenate([jnp.abs(t1_bd - t2_bd), t1_bd * t2_bd], axis=-1)
        statistics = self.locally(local_statistics(*dates(scenes.feature_map), self.radius))
        fused = jnp.concatenate([nnx.relu(self.globally(seen)), statistics], axis=-1)
        return Judgement(self.head(nnx.relu(self.fusion(fused)))[:, 0], scenes)


def create_siamese(
    name: str,
    *,
    num_classes: int,
    image_size: int = 224,
    width: float = 1.0,
    hidden: int = 256,
    radius: int = 1,
    dtype: DTypeLike = jnp.float32,
    rectified_features: bool = True,
    scene_hidden: int | None = None,
    dropout: float | None = None,
    drop_path: float | None = None,
    rngs: nnx.Rngs,
) -> Siamese:
    """A new siamese network in train mode; the backbone begins as `create_model` begins it from the same `rngs`.

    Args:
        name: one of `list_models()`.
        num_classes: width of the backbone's own classifier.
        image_size: side of the images in pixels.
        width: factor on the backbone's number of channels.
        hidden: width of the fusing layers.
        radius: a place is compared with those within so many cells of the other date's map.
        dtype: type of the backbone's computation; what fuses is float32.
        rectified_features: as `create_model`.
        scene_hidden: outputs of a hidden layer of the backbone's own classifier, `hidden` of `create_model`.
        dropout: of the backbone, as `create_model`.
        drop_path: of the backbone, as `create_model`.
        rngs: source of the initial weights.

    Raises:
        InputError: as `create_model`, or a width or radius that cannot be.
    """
    backbone = create_model(
        name,
        num_classes=num_classes,
        image_size=image_size,
        width=width,
        dtype=dtype,
        rectified_features=rectified_features,
        hidden=scene_hidden,
        dropout=dropout,
        drop_path=drop_path,
        rngs=rngs,
    )
    return Siamese(backbone, image_size, hidden, radius, rngs=rngs)


def backbone_of(model: nnx.Module) -> nnx.Module:
    """The network that sees one image: the backbone of a siamese network, any other network itself."""
    return model.backbone if isinstance(model, Siamese) else model


def dates(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Both dates, (b, ...) each, of what a backbone returned for alternating dates, (2b, ...)."""
    both = values.reshape(-1, 2, *values.shape[1:])
    return both[:, 0], both[:, 1]


def local_statistics(t1_bhwc: jax.Array, t2_bhwc: jax.Array, radius: int) -> jax.Array:
    """(b, STATISTICS) float32: how similar the places of two maps are, whichever of the two comes first.

    Mean, deviation and minimum over the map of each place's largest cosine similarity with the places of the other map
    within `radius` cells (the two directions averaged), then of that with the equal place.
    """
    t1_bhwc, t2_bhwc = _unit_length(t1_bhwc), _unit_length(t2_bhwc)
    height, width = t1_bhwc.shape[1:3]
    row_h, column_w = np.arange(height), np.arange(width)
    near_hi = np.abs(row_h[:, None] - row_h) <= radius
    near_wj = np.abs(column_w[:, None] - column_w) <= radius
    near_hwij = near_hi[:, None, :, None] & near_wj[None, :, None, :]
    # Accelerators would round the factors; similarities of equal places are close to 1 and differ by little.
    cosine_bhwij = jnp.einsum("bhwc,bijc->bhwij", t1_bhwc, t2_bhwc, precision=jax.lax.Precision.HIGHEST)
    cosine_bhwij = jnp.where(near_hwij, cosine_bhwij, -1.0)
    from_t1, from_t2 = _summary(cosine_bhwij.max((3, 4))), _summary(cosine_bhwij.max((1, 2)))
    return jnp.concatenate([(from_t1 + from_t2) / 2, _summary(jnp.sum(t1_bhwc * t2_bhwc, -1))], axis=-1)


def _summary(value_bhw: jax.Array) -> jax.Array:
    """Mean, deviation and minimum over the map, (b, 3)."""
    mean, variance = value_bhw.mean((1, 2)), value_bhw.var((1, 2))
    # The root of zero has no slope.
    return jnp.stack([mean, jnp.sqrt(variance + 1e-6), value_bhw.min((1, 2))], axis=-1)


def _unit_scale(feature_bd: jax.Array) -> jax.Array:
    """Features scaled to a root mean square of 1: of unit length, but in the range that linear layers begin for."""
    return feature_bd * jax.lax.rsqrt(jnp.mean(jnp.square(feature_bd), -1, keepdims=True) + 1e-6)


def _unit_length(map_bhwc: jax.Array) -> jax.Array:
    """The map with a vector of length 1 at every place, float32."""
    map_bhwc = map_bhwc.astype(jnp.float32)
    return map_bhwc * jax.lax.rsqrt(jnp.sum(jnp.square(map_bhwc), -1, keepdims=True) + 1e-6)


def _feature_width(backbone: nnx.Module, image_size: int) -> int:
    """The width of a backbone's features; computes shapes only."""
    evaluated = nnx.view(backbone, use_running_average=True, raise_if_not_found=False)
    image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
    output: Output = nnx.eval_shape(lambda model, image: model(image), evaluated, image)
    return output.features.shape[-1]
