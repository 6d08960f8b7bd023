"""Experiments on models and the method; not part of the installed packages."""
