"""From an image to what its patches are compared and matched by, apart from residual networks."""
