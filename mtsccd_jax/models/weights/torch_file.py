"""Reading of torch checkpoints as people save them, without running what is in them."""

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtsccd_jax.errors import InputError

# The keys under which training scripts save the arrays; averaged weights, which are the ones they report, come first.
NESTED_KEYS = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema"),
    *("state_dict", "model_state_dict", "model", "module", "net", "network"),
)
# The keys under which they say which network it is, on top or among the hyper-parameters.
ARCHITECTURE_KEYS = ("architecture", "arch", "timm_model_name")
# Before, `weights_only=True` kept no code from running.
_SAFE_TORCH = (2, 6)
# The count that torch's `AveragedModel` saves beside the arrays.
AVERAGED = "n_averaged"
SAVED_ALONE = "save the weights alone, `torch.save(model.state_dict(), 'weights.pth')`, and give that file"


def read_torch(path: Path, source: str) -> tuple[dict[str, np.ndarray], str | None, list[str]]:
    """Return the arrays of a torch checkpoint, the architecture that it names, and notes on what was taken.

    Raises:
        InputError: torch is missing, or the file is broken, holds other objects than tensors, or no state dict.
    """
    stored, notes = _load(path, source), list[str]()
    architecture = stated_architecture(stored)
    while isinstance(stored, Mapping) and (
        keys := [key for key in NESTED_KEYS if isinstance(stored.get(key), Mapping)]
    ):
        if len(keys) > 1:
            notes.append(f"{keys[0]} is taken; there is {', '.join(keys[1:])} as well")
        stored = stored[keys[0]]
    if not isinstance(stored, Mapping) or not stored or not all(isinstance(name, str) for name in stored):
        raise InputError(f"{source}: not a state dict of arrays but a {type(stored).__name__}; {SAVED_ALONE}")
    arrays = {name: value for name, value in stored.items() if name != AVERAGED}
    if AVERAGED in stored:
        notes.append(f"averaged weights, over {stored[AVERAGED]} updates")
    return {name: _plain(value, f"{source}: {name}") for name, value in arrays.items()}, architecture, notes


def stated_architecture(config: Any) -> str | None:
    """Return the architecture that a configuration or checkpoint names on top or one level below; None without any."""
    if not isinstance(config, Mapping):
        return None
    inner = [value for value in config.values() if isinstance(value, Mapping)]
    named = (part[key] for part in (config, *inner) for key in ARCHITECTURE_KEYS if isinstance(part.get(key), str))
    return next(named, None)


def _load(path: Path, source: str) -> Any:
    """Return what a checkpoint holds; only tensors and plain containers are opened."""
    try:
        import torch
    except ModuleNotFoundError:
        raise InputError(
            f"{source}: reading torch checkpoints needs PyTorch; `pip install torch`, or give the .safetensors"
        ) from None
    if tuple(map(int, re.findall(r"\d+", torch.__version__)[:2])) < _SAFE_TORCH:
        raise InputError(
            f"{source}: not opened by PyTorch {torch.__version__}, where it can run code (CVE-2025-32434); "
            "`pip install 'torch>=2.6'`, or give the .safetensors"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a TorchScript archive, which is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if named := re.search(r"(?:GLOBAL|class) (\S+\.\S+)", str(error)):
            reason = f"holds an object of {named[1]} and is not opened, because such objects can run code"
            raise InputError(f"{source}: {reason}; where you trust it, {SAVED_ALONE}") from None
        raise InputError(f"{source}: no torch checkpoint, or a broken one; download it again") from None
    except (OSError, MemoryError):
        raise
    except Exception as error:  # whatever the step that met the damage raises
        if "TorchScript" in str(error):
            alone = "`torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')`"
            raise InputError(f"{source}: a TorchScript program and no state dict; save its weights, {alone}") from None
        reason = str(error).split(". ")[0]
        raise InputError(f"{source}: a broken torch checkpoint ({reason}); download it again") from None


def _plain(value: Any, where: str) -> np.ndarray:
    """Return a tensor as an array, half precision widened to float32."""
    import torch

    if not isinstance(value, torch.Tensor):
        raise InputError(f"{where}: not a state dict of arrays, this is a {type(value).__name__}; {SAVED_ALONE}")
    if value.is_quantized or value.is_sparse or value.is_meta or value.is_complex():
        raise InputError(f"{where}: a quantized, sparse, complex or empty tensor; {SAVED_ALONE} of the plain network")
    value = value.detach()
    return np.asarray((value.float() if value.dtype.is_floating_point else value).numpy())
