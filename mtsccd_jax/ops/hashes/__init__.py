"""Descriptors of images that copies share: perceptual hashes, layouts and local contrast, and neighbours of hashes."""
