"""Multi-label classification: every label of a scene."""
