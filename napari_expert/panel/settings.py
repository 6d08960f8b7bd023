"""What the panel remembers between sessions, kept where napari keeps its plugins' settings (File ▸
Preferences ▸ ExPeRT).

Nothing about a patient is in it: the model, the data set's folder and how things are shown, never
an image or its path.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

PLUGIN = "napari-expert"


@dataclass(frozen=True)
class Settings:
    """Choices of the panel. The manifest's `configurations` has the same names, defaults and
    limits."""

    model: str = "phantom"
    """A shipped model's name, or a model file."""
    prototypes: int = 3
    """How many to show, 1 to 8."""
    view: Literal["grid", "lines"] = "grid"
    """Prototypes in cells of their own, or beside the subject with lines between matched
    patches."""
    convention: Literal["radiological", "neurological"] = "radiological"
    """On which side of the screen the patient's right is."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the network runs."""
    data: str = ""
    """Folder of the data set with the prototypes' images; empty where none was chosen."""

    @classmethod
    def load(cls) -> Settings:
        """What was remembered; the defaults where nothing was, or where it cannot be read."""
        stored = _stored()
        return (
            cls()
            if stored is None
            else cls(**{field.name: getattr(stored, field.name) for field in fields(cls)})
        )

    def save(self) -> None:
        """Remember these choices, in one write. Where that is impossible (a read-only home), they
        last for the session.

        Raises
        ------
        ValueError
            A choice is outside its limits.
        """
        stored = _stored()
        if stored is not None:
            with contextlib.suppress(OSError):
                stored.update(asdict(self))


def _stored() -> Any:
    """napari's model of our settings, or None where it has none (the plugin is switched off)."""
    from napari.settings import get_plugin_settings

    try:
        return get_plugin_settings(PLUGIN).panel
    except KeyError:
        return None
    except AssertionError:
        # Damaged values and damaged YAML become defaults by themselves; of YAML that is no mapping
        # napari asserts it is one.
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
