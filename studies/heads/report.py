"""Tables and plot of brain finding and registration: `python -m studies brain-finding`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np

from expert.schema import RESEARCH_USE
from studies.heads.changes import ANGLES_DEG, CHANGES, WRONG
from studies.heads.measure import (
    CAPTURED_MM,
    Found,
    Progress,
    Registered,
    capture,
    center_spread,
    examine,
    map_in_processes,
    read_head,
    registered,
)

AXES = ("right", "front", "up")


def run_study(
    data: Path,
    out: Path,
    *,
    heads: int = 10,
    turned: int = 4,
    every: int = 1,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Path:
    """Measure brain finding and registration on IXI, and write the page and its plot.

    Parameters
    ----------
    data : pathlib.Path
        Folder of IXI with ``T1``, ``brain_mask`` and ``dlmuse``.
    out : pathlib.Path
        Markdown file to write; the plot is beside it.
    heads : int
        Number of heads that are changed.
    turned : int
        Number of heads that are turned.
    every : int
        Of all heads, every n-th is registered.
    jobs : int
        Number of processes.
    progress : callable, optional
        Called with "heads" and a fraction.

    Returns
    -------
    pathlib.Path
        The page.
    """
    report = progress or (lambda stage, done: None)
    files = sorted((data / "T1").glob("*.nii.gz"))
    chosen = files[:: max(1, len(files) // max(heads, 1))][:heads]
    masks, regions = data / "brain_mask", data / "dlmuse"
    tasks: list[tuple[object, ...]] = [
        (file, masks, kind, number)
        for number, file in enumerate(chosen)
        for kind in (*CHANGES, *WRONG)
    ]
    found = cast("list[Found]", list(map_in_processes(_examine_file, tasks, jobs, report)))
    angles = cast(
        "list[list[tuple[int, int, float]]]",
        list(map_in_processes(_capture_file, [(f, masks) for f in chosen[:turned]], jobs, report)),
    )
    every_head = cast(
        "list[Registered]",
        list(
            map_in_processes(
                registered, [(file, masks, regions) for file in files[::every]], jobs, report
            )
        ),
    )
    rows = [row for head in angles for row in head]
    out.parent.mkdir(parents=True, exist_ok=True)
    plot_capture(rows, out.with_suffix(".png"))
    out.write_text(page(found, rows, every_head, out.with_suffix(".png").name), encoding="utf-8")
    return out


def _examine_file(file: Path, masks: Path, kind: str, seed: int) -> Found:
    return examine(read_head(file, masks), kind, seed)


def _capture_file(file: Path, masks: Path) -> list[tuple[int, int, float]]:
    return capture(read_head(file, masks))


def page(
    found: Sequence[Found],
    turned: Sequence[tuple[int, int, float]],
    every: Sequence[Registered],
    plot: str,
) -> str:
    """The Markdown page of the results."""
    lines = ["# Brain finding and registration", "", RESEARCH_USE, ""]
    lines += ["## Changed heads", "", "| head | found | Dice | lowest | seconds | shift |"]
    lines += ["|---|---|---|---|---|---|"]
    for kind in CHANGES:
        rows = [one for one in found if one.kind == kind]
        good = [one for one in rows if not one.refused]
        dice = np.array([one.dice for one in rows])
        shift = np.array([one.distance_mm for one in good])
        lines.append(
            f"| {kind} | {len(good)} of {len(rows)} | {np.nanmean(dice):.3f} | "
            f"{np.nanmin(dice):.3f} | {np.nanmean([one.seconds for one in rows]):.2f} | "
            f"{np.nanmean(shift) if len(shift) else float('nan'):.1f} mm |"
        )
    lines += ["", "Shift: mean distance from the registration of the unchanged head.", ""]
    lines += ["## Wrong images", "", "| image | refused | most frequent reason |", "|---|---|---|"]
    for kind in WRONG:
        rows = [one for one in found if one.kind == kind]
        reasons = [one.refused for one in rows if one.refused]
        first = max(set(reasons), key=reasons.count) if reasons else ""
        lines.append(f"| {kind} | {len(reasons)} of {len(rows)} | {first} |")
    lines += ["", "## Turned heads", "", f"![Registered right, by angle]({plot})", ""]
    lines += ["| axis | " + " | ".join(f"{angle}°" for angle in ANGLES_DEG) + " |"]
    lines += ["|---" * (len(ANGLES_DEG) + 1) + "|"]
    for axis, name in enumerate(AXES):
        cells = []
        for angle in ANGLES_DEG:
            off = [mm for a, b, mm in turned if (a, b) == (axis, angle)]
            cells.append(f"{sum(mm <= CAPTURED_MM for mm in off)} of {len(off)}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    good_heads = [row for row in every if not row.refused]
    lines += [
        "",
        f"Right: within {CAPTURED_MM:g} mm of the registration of the unchanged head.",
        "",
        f"## {len(every)} heads of one site",
        "",
        "| measure | mean | lowest |",
        "|---|---|---|",
    ]
    for name, values in (
        ("Dice of the brain found", [row.found for row in every]),
        ("Dice of brain and template", [row.brain for row in every]),
        ("Dice of white matter and template", [row.white for row in every]),
        ("Dice of grey matter and template", [row.grey for row in every]),
    ):
        lines.append(f"| {name} | {np.mean(values):.3f} | {np.min(values):.3f} |")
    lines += [
        "",
        f"Region centres lie {center_spread(good_heads):.2f} mm from their mean over the heads. "
        f"{len(every) - len(good_heads)} heads are refused. Brain finding and registration take "
        f"{np.median([row.seconds for row in every]):.2f} s (median; one thread).",
        "",
    ]
    return "\n".join(lines)


def plot_capture(rows: Sequence[tuple[int, int, float]], path: Path) -> None:
    """Fraction of turned heads that are registered right, by axis and angle."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for axis, (name, style) in enumerate(zip(AXES, ("-o", "--s", ":^"), strict=True)):
        share = []
        for angle in ANGLES_DEG:
            off = [mm for a, b, mm in rows if (a, b) == (axis, angle)]
            share.append(float(np.mean([mm <= CAPTURED_MM for mm in off])) if off else np.nan)
        axes.plot(ANGLES_DEG, share, style, label=f"about {name}")
    axes.set(xlabel="angle, degrees", ylabel="registered right", ylim=(-0.05, 1.05))
    axes.axvspan(-45, 45, color="0.9", zorder=0)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
