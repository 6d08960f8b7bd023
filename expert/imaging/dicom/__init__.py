"""Read DICOM: the series in a folder, their slices in order, and what is missing.

``list_series`` → ``expert.read_volume(folder, series=number)``.
"""

import lazy_loader

from expert._moved import public_modules

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=public_modules(__path__),
    submod_attrs={"series": ["Series", "list_series"]},
)
