"""Convert a PyTorch checkpoint to safetensors, in its own process.

Usage: ``python -P checkpoint_reader.py CHECKPOINT FOLDER``, run by `expert.convert.conversion`.
Checkpoints are pickles, and nothing else opens them. PyTorch's weights-only reader builds tensors
and plain containers and refuses everything else. What the Lightning checkpoints of the published
code also hold (its own settings, and paths) is replaced by empty stand-ins: their code is neither
loaded nor run.

The file imports nothing of this package, so that the process needs only PyTorch and safetensors. It
writes FOLDER/tensors.safetensors and prints one line of JSON: ``{"settings": {...}}``, or
``{"problem": ..., "detail": ...}`` with the problem "unsafe", "unreadable" or "no_state".
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HARMLESS = re.compile(r"define_parameters\.\w+|pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path")
"""Classes of the published code's Lightning checkpoints that are replaced by stand-ins."""
SETTINGS = ("avg_pool", "last_act")
"""Published settings that change a prediction but cannot be seen in the weights."""
PREFIX = "ppnet."


class StandIn:
    """Replacement of an unwanted object: it keeps the state it is given, unused."""

    state: object = None

    def __new__(cls, *arguments: object) -> StandIn:
        """Accept any arguments."""
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Keep the state."""
        self.state = state


def stand_ins(names: list[str]) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """Return one class per name: PyTorch distinguishes allowed classes by identity."""
    return [(type("StandIn", (StandIn,), {}), name) for name in names]


def setting(value: object, name: str, depth: int = 6) -> object:
    """Find a setting in nested dictionaries and stand-ins; None if it is not there."""
    held = getattr(value, "state", None) if isinstance(value, StandIn) else value
    if not isinstance(held, dict) or depth == 0:
        return None
    if name in held:
        return held[name]
    return next(
        (found for part in held.values() if (found := setting(part, name, depth - 1)) is not None),
        None,
    )


def state_of(loaded: object) -> dict[str, Any]:
    """Tensors by their published names, of a state dict or of a Lightning checkpoint."""
    import torch

    held = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else {}
    if not isinstance(held, dict):
        return {}
    tensors = {str(key): value for key, value in held.items() if isinstance(value, torch.Tensor)}
    inner = {
        key.removeprefix(PREFIX): value for key, value in tensors.items() if key.startswith(PREFIX)
    }
    return inner or tensors


def read(source: Path, folder: Path) -> dict[str, Any]:
    """Write the tensors of `source` to `folder` and return what is printed (see the module)."""
    import torch
    from safetensors.torch import save_file

    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(source)
    except Exception:  # an older format, or no checkpoint: the reader below decides
        named = []
    unsafe = sorted(name for name in named if not HARMLESS.fullmatch(name))
    if unsafe:
        return {"problem": "unsafe", "detail": ", ".join(unsafe[:3])}
    try:
        with torch.serialization.safe_globals(stand_ins(named)):
            loaded = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # any error in the file is reported to the caller
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        return (
            {"problem": "unsafe", "detail": found[1]}
            if found
            else {"problem": "unreadable", "detail": str(error)[:200]}
        )
    tensors = state_of(loaded)
    if not tensors:
        return {"problem": "no_state"}
    whole = {
        key: (value.float() if value.is_floating_point() else value).detach().contiguous().clone()
        for key, value in tensors.items()
    }
    save_file(whole, folder / "tensors.safetensors")
    besides = loaded.get("hyper_parameters") if isinstance(loaded, dict) else None
    found_settings = {name: setting(besides, name) for name in SETTINGS}
    return {
        "settings": {
            name: value for name, value in found_settings.items() if isinstance(value, (bool, str))
        }
    }


if __name__ == "__main__":
    print(json.dumps(read(Path(sys.argv[1]), Path(sys.argv[2]))))
