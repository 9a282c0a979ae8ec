"""The stretching of MobileViT's maps, against torch."""

import numpy as np
import pytest
import torch_reference

from mtsccd_jax.models.mobilevit import resized


@pytest.mark.parametrize(("side", "other"), [((5, 7), (6, 8)), ((6, 8), (5, 7)), ((1, 3), (2, 4)), ((2, 4), (1, 3))])
def test_stretching_and_shrinking_equal_torch(side: tuple[int, int], other: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch", reason="the reference is torch's interpolate")
    x = np.random.default_rng(0).normal(size=(2, *side, 3)).astype(np.float32)
    reference = torch.nn.functional.interpolate(torch_reference.channels_first(x), size=other, mode="bilinear")
    assert torch_reference.relative_error(resized(x, *other), reference.numpy().transpose(0, 2, 3, 1)) < 1e-6
