"""Result layers and what the viewer draws."""
