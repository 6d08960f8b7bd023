"""Experiments on models and the method, run as ``python -m studies``; they are not installed."""
