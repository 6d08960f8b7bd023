"""HTML and PDF reports, CSV tables of matches."""

import lazy_loader

from expert._moved import public_modules

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=public_modules(__path__),
    submod_attrs={
        "report": ["compose", "write_report"],
        "csv_export": ["write_csv"],
    },
)
