"""Held-out fetal heads turned by any angle and mirrored: how much the prediction changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from expert.comparison import compare_images
from expert.datasets.prepared_dataset import CohortArrays, load_cohort
from expert.datasets.table import read_table
from expert.evaluation.bootstrap import mean_interval
from expert.evaluation.matching_quality import encode, plans, shifted_match
from expert.features.head_frame import with_rim
from expert.imaging.head_outline import find_outline
from expert.imaging.outline_network import OutlineNetwork, read_outline_network
from expert.imaging.preprocessing import Prepared, prepare
from expert.imaging.volume import Volume, read_volume
from expert.patches import foreground_patches
from expert.schema import RESEARCH_USE, InputSettings
from expert.training.folds import trained_fold
from expert.training.recipe import read_recipe
from studies.outline.examples import folds, read_outlines
from studies.outline.measure import ANGLES_DEG, turned
from studies.outline.study import FOLDS

if TYPE_CHECKING:
    from expert.model import PrototypeRegressor

BOTH = (-2, -1)
"""Axes of a frame that is turned by 180°."""


def run_study(
    data: Path,
    table: Path,
    run: Path,
    outlines: Path,
    recipe_path: Path,
    out: Path,
    *,
    images: int = 40,
    progress: Callable[[str, float], None] | None = None,
) -> Path:
    """Measure with the folds of a training, and write a page.

    Parameters
    ----------
    data : pathlib.Path
        Folder with `hc18`.
    table, run, recipe_path : pathlib.Path
        Of a training by `expert train` with 5 folds.
    outlines : pathlib.Path
        Folder of `python -m studies head-outline`, with its folds.
    out : pathlib.Path
        Markdown file to write.
    images : int
        Number of held-out images, the same number from each fold.
    progress : callable, optional

    Returns
    -------
    pathlib.Path
        `out`.
    """
    report = progress or (lambda stage, done: None)
    recipe, found = read_recipe(recipe_path), Measured()
    finders, entries = (
        _networks(data, outlines),
        read_table(table, label_column=recipe.label_column),
    )
    headless: dict[int, str] = {}
    load_cohort(entries, recipe.input, outlines / "prepared", refused=headless)
    found.headless = {entries[row].name for row in headless}
    for fold in range(FOLDS):
        module, _, held_out = trained_fold(
            recipe, table, run, fold, FOLDS, prepared=outlines / "prepared"
        )
        network = module.network.eval()
        found.add_positions(network, held_out)
        chosen = np.linspace(0, len(held_out.entries) - 1, images // FOLDS).astype(int)
        for number, row in enumerate(chosen.tolist()):
            entry = held_out.entries[row]
            volume = read_volume(entry.file, pixel_size_mm=entry.pixel_size_mm)
            found.add_turned(network, volume, recipe.input, finders[entry.file.name])
            report("heads", (fold + (number + 1) / len(chosen)) / FOLDS)
    out.write_text("\n".join([*found.lines(), "", RESEARCH_USE, ""]), encoding="utf-8")
    return out


@dataclass
class Measured:
    """Measures of the images so far, label units."""

    changes: list[list[float]] = field(default_factory=list)
    """By image: of the prediction, in copies turned and mirrored."""
    refused: int = 0
    """Copies in which no head was found."""
    larger: list[float] = field(default_factory=list)
    """By image: of the prediction, if its size is given as 10 % larger."""
    follows: list[float] = field(default_factory=list)
    """By image, see `follows`."""
    errors: list[tuple[float, float, float]] = field(default_factory=list)
    """By held-out image: absolute error by transport, by position, by position turned by 180°."""
    subjects: list[str] = field(default_factory=list)
    """Of the errors."""
    headless: set[str] = field(default_factory=set)
    """Held-out images in which no head was found; their errors count where it is not said."""
    usable: list[bool] = field(default_factory=list)
    """Of the errors: whether a head was found."""
    shifted: list[tuple[float, float]] = field(default_factory=list)
    """By image: fraction of the patches that are found in the next head shifted by one patch, and
    its chance level."""

    def add_turned(
        self,
        network: PrototypeRegressor,
        volume: Volume,
        settings: InputSettings,
        finder: OutlineNetwork,
    ) -> None:
        """One image in all angles, and its mirror image."""

        def ready(image: Volume) -> Prepared:
            return prepare(image, settings, outline=find_outline(image, finder))

        def predicted(images: np.ndarray, content: np.ndarray) -> float:
            return compare_images(network, images, content).prediction

        own = ready(volume)
        assert own.outline is not None
        first = predicted(own.images, own.content)
        changes = []
        for mirrored in (False, True):
            for angle in ANGLES_DEG:
                copy = ready(turned(volume, angle, mirrored))
                self.refused += bool(copy.refusal)
                changes.append(predicted(copy.images, copy.content) - first)
        self.changes.append(changes)
        larger = with_rim(own.images[0], 1.1 * own.outline.circumference)
        self.larger.append(predicted(larger[None], own.content) - first)
        self.follows.append(follows(network, own))

    def add_positions(self, network: PrototypeRegressor, held_out: CohortArrays) -> None:
        """All held-out images of a fold, matched by transport and by position."""
        usual = network.architecture
        rows = []
        for images, content, label in zip(
            held_out.images, held_out.content, held_out.labels, strict=True
        ):
            ways = (
                (images, content),
                (np.flip(images, BOTH).copy(), np.flip(content, BOTH).copy()),
            )
            row = [compare_images(network, images, content).prediction]
            network.architecture = usual.model_copy(update={"matching": "position"})
            row += [compare_images(network, *way).prediction for way in ways]
            network.architecture = usual
            rows.append(np.abs(np.array(row) - label).tolist())
        self.errors += [(a, b, c) for a, b, c in rows]
        self.subjects += [entry.subject for entry in held_out.entries]
        self.usable += [entry.name not in self.headless for entry in held_out.entries]
        views = list(zip(held_out.images[:, 0], held_out.content[:, 0], strict=True))
        self.shifted += [
            shifted_match(network, *views[n], *views[n + 1]) for n in range(0, len(views) - 1, 9)
        ]

    def lines(self) -> list[str]:
        """A table."""
        far, errors = np.abs(self.changes), np.array(self.errors)
        subjects = np.unique(self.subjects, return_inverse=True)[1]
        gain = errors[:, 0] - errors[:, 1]
        low, high = mean_interval(gain, subjects)
        largest = far.max(1)
        rows = {
            "images × copies": f"{far.shape[0]} × {far.shape[1]}",
            "change of the prediction, weeks: mean (median)": (
                f"{far.mean():.2f} ({np.median(far):.2f})"
            ),
            "95th percentile": f"{np.percentile(far, 95):.2f}",
            "copies with a change of more than 0.3 weeks": f"{100 * (far > 0.3).mean():.1f} %",
            "images all of whose copies are within 0.3 weeks": f"{(largest <= 0.3).sum()}",
            "copies that are refused": f"{self.refused}",
            "size given as 10 % larger, mean change, weeks": f"{np.mean(self.larger):+.2f}",
            "patches matched to themselves in the frame turned by 180°": (
                f"{100 * np.mean(self.follows):.0f} %"
            ),
            "patches found in another head that is shifted by one patch (chance)": (
                "{:.0f} % ({:.0f} %)".format(*(100 * np.nanmean(self.shifted, axis=0)))
            ),
            "MAE of all held-out images: transport, position": (
                f"{errors[:, 0].mean():.3f}, {errors[:, 1].mean():.3f} weeks"
            ),
            "MAE of the images that are not refused": (
                f"{errors[self.usable, 0].mean():.3f} weeks ({sum(self.usable)} images)"
            ),
            "transport minus position (95 %)": f"{gain.mean():+.3f} ({low:+.3f} – {high:+.3f})",
            "MAE by position in the frame turned by 180°": f"{errors[:, 2].mean():.3f} weeks",
        }
        return ["| measure | value |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())]


def _networks(data: Path, outlines: Path) -> dict[str, OutlineNetwork]:
    """File name to the network that has not seen its exam."""
    found = read_outlines(data / "hc18")
    out: dict[str, OutlineNetwork] = {}
    for fold, rows in enumerate(folds(found.exams, FOLDS, 1)):
        network = read_outline_network(str(outlines / f"fold{fold}.safetensors"))
        out |= {Path(found.files[row]).name: network for row in rows}
    return out


def follows(network: PrototypeRegressor, prepared: Prepared) -> float:
    """Fraction of patches whose best match in the frame turned by 180° is the same content."""
    image, content = prepared.images, prepared.content
    one = encode(network, image, content)
    other = encode(network, np.flip(image, BOTH).copy(), np.flip(content, BOTH).copy())
    partner = np.flip(np.arange(int(np.prod(network.grid))).reshape(network.grid)).ravel()
    best = plans(network, one, other)[0].argmax(1)
    return float((best == partner)[foreground_patches(content, network.grid)[0]].mean())
