"""The setting that somebody means by another name."""

from collections.abc import Sequence

from mtsccd_jax.errors import nearest

# Words of other tools.
_ALIASES = {
    "optim.learning_rate": ("lr", "rate", "learningrate", "base_lr", "max_lr"),
    "optim.weight_decay": ("wd", "decay", "l2"),
    "optim.name": ("optimizer", "optimiser", "opt"),
    "optim.schedule": ("scheduler", "lr_schedule", "sched"),
    "optim.warmup_epochs": ("warmup",),
    "optim.clip_norm": ("clip", "grad_clip", "clip_grad"),
    "optim.label_smoothing": ("smoothing",),
    "engine.batch_size": ("bs", "batch", "batchsize", "train_batch_size"),
    "engine.eval_batch_size": ("val_batch_size", "test_batch_size"),
    "engine.epochs": ("epoch", "max_epochs", "num_epochs", "n_epochs"),
    "engine.dtype": ("precision", "amp", "fp16", "bf16"),
    "engine.patience": ("early_stopping", "early_stop"),
    "model.name": ("arch", "architecture", "backbone", "network", "net", "model"),
    "model.init": ("weights", "pretrained", "checkpoint", "finetune"),
    "model.drop_path": ("stochastic_depth",),
    "data.image_size": ("img_size", "imgsize", "size", "resolution", "input_size"),
    "data.data_dir": ("datadir", "root", "data_root", "path"),
    "data.color_jitter": ("jitter",),
    "evaluation.resamples": ("bootstrap", "n_bootstrap"),
    "seed": ("random_seed", "rng"),
}


def likely_keys(key: str, known: Sequence[str]) -> str:
    """Return the hint " Did you mean 'x'?" with the keys that are called so elsewhere, or the closest one; or ""."""
    word = key.rpartition(".")[2].lower().replace("-", "_")
    meant = [name for name in known if word in (name.rpartition(".")[2], *_ALIASES.get(name, ()))]
    if not meant:
        by_word = {name.rpartition(".")[2]: name for name in known}
        hint = nearest(key, known) or nearest(word, by_word)
        return hint if "." in hint else "".join(f" Did you mean '{by_word[w]}'?" for w in by_word if f"'{w}'" in hint)
    return f" Did you mean {' or '.join(repr(name) for name in meant[:3])}?"
