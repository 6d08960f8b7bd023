"""Heads painted from label maps with random contrast, and the networks that are trained on them."""
