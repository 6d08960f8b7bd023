"""Readers of image files other than DICOM."""

import lazy_loader

from expert._moved import public_modules

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=public_modules(__path__),
)
