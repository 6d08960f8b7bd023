"""Experiments on models and the method, run as ``python -m studies``; not part of the installed
packages."""
