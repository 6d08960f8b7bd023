"""Whether a model refuses or flags corrupted images, and how often it flags others."""
