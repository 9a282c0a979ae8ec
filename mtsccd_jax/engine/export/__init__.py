"""What leaves a work directory for other programs: weights, and the forward pass in two formats."""
