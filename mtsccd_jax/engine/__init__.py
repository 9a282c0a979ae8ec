"""One training step, run as jit or pmap on any number of devices, with checkpoints that survive being killed."""
