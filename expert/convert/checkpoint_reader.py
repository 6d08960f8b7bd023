"""A PyTorch checkpoint made into safetensors, in a process of its own: ``python -P checkpoint.py
CHECKPOINT FOLDER``.

Run by `expert.convert.conversion`; nothing else opens such files, which are pickles. PyTorch's
weights-only reader is used, which builds tensors and plain containers and refuses everything else.
Only what the published code's Lightning checkpoints hold besides (its own settings, and paths) is
let through, as empty stand-ins: none of their code is looked for or run.

The file stands alone (it imports nothing of this package), so that the process needs no more than
PyTorch and safetensors. It writes FOLDER/tensors.safetensors and prints one line of JSON:
``{"settings": {...}}``, or ``{"problem": ..., "detail": ...}`` with the problem "unsafe",
"unreadable" or "no_state".
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
"""Published settings that change a prediction and leave no trace in the weights."""
PREFIX = "ppnet."


class StandIn:
    """Takes the place of an object that is not wanted: it keeps the state it is given, and does
    nothing with it."""

    state: object = None

    def __new__(cls, *arguments: object) -> StandIn:
        return super().__new__(cls)

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state


def stand_ins(names: list[str]) -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """One class of its own for each name: PyTorch tells the allowed ones apart by identity."""
    return [(type("StandIn", (StandIn,), {}), name) for name in names]


def setting(value: object, name: str, depth: int = 6) -> object:
    """A setting wherever it stands in nested dictionaries and stand-ins; None where it does not."""
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
    """The network's state, by the published names: of a plain state dict, or inside a Lightning
    checkpoint."""
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
    """Read `source`, write the tensors into `folder`, and say what else was found (see the module's
    docstring)."""
    import torch
    from safetensors.torch import save_file

    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(source)
    except Exception:  # an older form, or no checkpoint at all: the reader below says which
        named = []
    unsafe = sorted(name for name in named if not HARMLESS.fullmatch(name))
    if unsafe:
        return {"problem": "unsafe", "detail": ", ".join(unsafe[:3])}
    try:
        with torch.serialization.safe_globals(stand_ins(named)):
            loaded = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever is wrong with the file, the caller gets a sentence
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
