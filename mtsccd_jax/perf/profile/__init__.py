"""What limits a training run."""
