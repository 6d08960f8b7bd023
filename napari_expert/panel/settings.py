"""Choices of the panel that napari stores (File ▸ Preferences ▸ ExPeRT).

They contain the model, the data set's folder and display options, and nothing about images or
patients.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from expert import DEFAULT_MODEL

PLUGIN = "napari-expert"


@dataclass(frozen=True)
class Settings:
    """Choices of the panel, with the names, defaults and limits of the manifest."""

    model: str = DEFAULT_MODEL
    """A shipped model's name, or a model file."""
    prototypes: int = 3
    """Number of prototypes to show, 1 to 8."""
    view: Literal["grid", "planes", "lines"] = "grid"
    """One panel per image; the image and one prototype in three planes (models of volumes); or
    beside each other, with lines between matched patches."""
    convention: Literal["radiological", "neurological"] = "radiological"
    """Radiological: the patient's right is on the left of the screen."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the network runs."""
    data: str = ""
    """Folder of the data set with the prototypes' images; empty if none was chosen."""

    @classmethod
    def load(cls) -> Settings:
        """Read the stored choices; the defaults where there are none, or they cannot be read."""
        stored = _stored()
        return (
            cls()
            if stored is None
            else cls(**{field.name: getattr(stored, field.name) for field in fields(cls)})
        )

    def save(self) -> None:
        """Store these choices in one write; in a read-only home they last for the session.

        Raises
        ------
        ValueError
            A choice is outside its limits.
        """
        stored = _stored()
        if stored is not None and self != Settings.load():
            with contextlib.suppress(OSError):
                stored.update(asdict(self))


def _stored() -> Any:
    """Return napari's model of our settings, or None if the plugin is disabled."""
    from napari.settings import get_plugin_settings

    try:
        return get_plugin_settings(PLUGIN).panel
    except KeyError:
        return None
    except AssertionError:
        # napari replaces damaged values and damaged YAML by defaults, but asserts that YAML is a
        # mapping.
        _drop_damaged()
        return None


def _drop_damaged() -> None:
    import yaml
    from napari.settings import get_settings

    main = get_settings().config_path
    file = Path(main).parent / f"{PLUGIN}.yaml" if main else None
    if (
        file is not None
        and file.is_file()
        and not isinstance(yaml.safe_load(file.read_text()), dict)
    ):
        file.unlink()
