"""How sure a forecaster is, and whether it may be: calibration, abstention, conformal sets, and their resampling.

Every measure of many examples takes `weight_rn`: how often each of n examples counts in each of r resamples. Without it
every example counts once. So a value and its bootstrap are one computation, and a resample costs a matrix product.
"""

from mtsccd_jax.ops.certainty import calibration, conformal, resampling, selection

__all__ = ["calibration", "conformal", "resampling", "selection"]
