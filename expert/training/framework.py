"""Lightning, which only training needs; without it, one sentence on how to install it."""

from __future__ import annotations

from expert.errors import MissingPackageError

try:
    import lightning as lightning
except ModuleNotFoundError as error:
    if error.name != "lightning":
        raise
    raise MissingPackageError("Training", "lightning", "train") from None
