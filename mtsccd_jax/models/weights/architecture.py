"""The names of architectures: networks that share all names and shapes with ours and compute something else."""

import re

from mtsccd_jax.errors import InputError
from mtsccd_jax.models import MODELS
from mtsccd_jax.models.weights.files import WeightFile

# Names of the same networks elsewhere, without timm's tag of a training and without image sizes.
OTHER_NAMES = {
    "bninception": "inception_v2",
    "deit_base_patch16": "vit_base_patch16",
    "deit_small_patch16": "vit_small_patch16",
    "deit_tiny_patch16": "vit_tiny_patch16",
    "mixer_b16": "mlp_mixer_base_patch16",
    "mixer_s16": "mlp_mixer_small_patch16",
    "swin_t": "swin_tiny",
    "swin_tiny_patch4_window7": "swin_tiny",
    "vit_b_16": "vit_base_patch16",
}


def our_name(architecture: str) -> str | None:
    """Return our name of an architecture as timm, torchvision or a paper's code names it; None of one we lack."""
    name = architecture.removeprefix("hf_hub:").rpartition("/")[2].partition(".")[0].lower().replace("-", "_")
    plain = re.sub(r"^(tv|ssl|swsl)_|_\d{3}(_[a-z0-9]+)?$", "", name)
    return next((ours for one in (name, plain) if (ours := OTHER_NAMES.get(one, one)) in MODELS), None)


def check_architecture(name: str, weights: WeightFile) -> list[str]:
    """Check that weights are of the network of a name; return a note where they do not say of which they are.

    Raises:
        InputError: they say that they are of another.
    """
    stated = weights.architecture
    if stated is None:
        return [
            f"names and shapes decide that these are weights of a {name}, for the file does not say it; networks that "
            "differ in padding, pooling or activation alone cannot be told apart"
        ]
    if (ours := our_name(stated)) == name:
        return []
    way_out = f"set model.name={ours}" if ours else "if it is the same by another name, give a file of its arrays alone"
    raise InputError(f"{weights.source}: weights of another network, {stated}, and not of the {name} here; {way_out}")
