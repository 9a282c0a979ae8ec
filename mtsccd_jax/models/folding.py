"""Batch normalisation folded into the convolutions before it, for networks that only evaluate."""

import jax
from flax import nnx

from mtsccd_jax.models.layers.blocks import ConvNorm


def fold_batch_norm(model: nnx.Module) -> nnx.Module:
    """A copy of the network whose convolutions do the work of the batch normalisation behind them.

    In evaluation a batch normalisation is a scale and a shift of every channel, which a kernel and a bias can carry:
    the same result but for rounding, without a pass over the map. Normalisation that stands before a convolution, as in
    DenseNet's layers, stays. The copy cannot train.
    """
    model = nnx.clone(model)
    for _, node in nnx.iter_graph(model):
        if isinstance(node, ConvNorm) and node.norm is not None:
            norm, conv = node.norm, node.conv
            scale = norm.scale[...] * jax.lax.rsqrt(norm.var[...] + norm.epsilon)
            shift = norm.bias[...] - norm.mean[...] * scale
            bias = shift if conv.bias is None else shift + conv.bias[...] * scale
            conv.bias = nnx.data(nnx.Param(bias))
            conv.kernel = nnx.Param(conv.kernel[...] * scale)
            node.norm = None
    return model
