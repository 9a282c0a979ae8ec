"""The limit of a training run."""
