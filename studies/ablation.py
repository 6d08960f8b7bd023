"""Variants of a recipe for an ablation: each changes one part of the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from expert.errors import RecipeError, first_problem
from expert.schema import Document
from expert.training.recipe import Recipe

PLAIN = "plain"
"""Name of the regression baseline, which is no variant of the recipe: a linear head on the same
backbone, with the same folds and number of epochs."""
BASE = "as given"
"""The recipe itself."""


@dataclass(frozen=True)
class Variant:
    """A change to a recipe."""

    name: str
    question: str
    """Question that the comparison with the recipe itself answers."""
    changes: dict[str, Any]
    """From "field" or "part.field" to its value. A string that begins with "×" multiplies the
    recipe's value. "architecture.stride" can be halved, "÷2", or doubled, "×2", through the pooling
    or, without pooling, by removing the last residual stage. "published" for "projection.epochs"
    stands for the published epochs, in proportion to the recipe's number of epochs."""
    only: str = ""
    """A "part.field" that a recipe must set for the variant to change it."""

    def of(self, recipe: Recipe) -> Recipe:
        """The changed recipe.

        Parameters
        ----------
        recipe : Recipe

        Returns
        -------
        Recipe

        Raises
        ------
        RecipeError
            A field does not exist, or the changed recipe is not valid.
        """
        document = recipe.model_dump()
        part, _, name = self.only.partition(".")
        if self.only and not getattr(getattr(recipe, part), name):
            return recipe
        for field, value in self.changes.items():
            if field == "architecture.stride":
                document["architecture"] |= _restrided(recipe, finer=value == "÷2")
                continue
            if field == "projection.epochs" and value == "published":
                document["projection"] |= _published(recipe.schedule.epochs)
                continue
            part, _, name = field.rpartition(".")
            settings = getattr(recipe, part, None) if part else recipe
            if not isinstance(settings, Document) or name not in type(settings).model_fields:
                raise RecipeError(
                    f"The variant '{self.name}' changes '{field}', which no recipe has."
                )
            factor = isinstance(value, str) and value.startswith("×")
            own = document[part] if part else document
            own[name] = getattr(settings, name) * float(value[1:]) if factor else value
        try:
            return Recipe.model_validate(document)
        except ValidationError as error:
            raise RecipeError(
                f"The variant '{self.name}' of {recipe.name} cannot be used: "
                f"{first_problem(error)}."
            ) from error


def _published(epochs: int) -> dict[str, Any]:
    """The published projections (before epochs 0, 75, 100 and every 25 of 300), rescaled."""
    return {"epochs": (0, epochs // 4, epochs // 3), "every": max(1, epochs // 12)}


def _restrided(recipe: Recipe, *, finer: bool) -> dict[str, Any]:
    """Pooling and widths for half (`finer`) or twice the stride."""
    settings = recipe.architecture
    if not finer:
        return {"pool": 2 * settings.pool}
    if settings.pool > 1:
        return {"pool": settings.pool // 2}
    return {"widths": settings.widths[:-1] or settings.widths}


ANYWHERE: dict[str, object] = {
    "architecture.reach": 0.0,
    "architecture.coordinates": False,
    "architecture.relaxation": 0.0,
}
"""Without plans between neighbours by anatomical coordinates."""
VARIANTS = (
    Variant(BASE, "", {}),
    Variant(
        "average",
        "Does it matter which patch is matched to which?",
        {
            "architecture.matching": "average",
            "architecture.guide": 0,
            **ANYWHERE,
            "schedule.by_position": False,
        },
    ),
    Variant(
        "position",
        "Does transport find more than the same place?",
        {"architecture.matching": "position", "architecture.guide": 0, **ANYWHERE},
    ),
    Variant(
        "one plane",
        "What if a prototype is one plane, and every plane is compared with it?",
        {"architecture.planes": 1},
    ),
    Variant(
        "no guide",
        "What if patches are matched by the features they are compared by?",
        {"architecture.guide": 0, "architecture.prior": 0.0, "schedule.by_position": False},
    ),
    Variant(
        "no alignment",
        "What does the alignment loss of registered patches do?",
        {"losses.alignment": 0.0},
    ),
    Variant(
        "alignment",
        "What does the alignment loss of registered patches do?",
        {"losses.alignment": 1.5, "losses.temperature": 0.03},
    ),
    Variant(
        "no consistency",
        "What does the published flip consistency do?",
        {"losses.consistency": 0.0},
    ),
    Variant(
        "consistency", "What does the published flip consistency do?", {"losses.consistency": 10.0}
    ),
    Variant(
        "no prediction loss",
        "What does the prediction loss do?",
        {"losses.prediction": 0.0},
    ),
    Variant(
        "own prototypes",
        "What if a training image is also compared with its own prototype?",
        {"losses.own": True},
    ),
    Variant(
        "uniform marginals",
        "What if empty patches have the same mass as others?",
        {"architecture.marginals": "uniform"},
    ),
    Variant(
        "published projection",
        "What is the effect of distinct, label-aware, relabelled prototypes?",
        {"projection.window": None, "projection.distinct": False, "projection.relabel": False},
    ),
    Variant(
        "published, relabelled",
        "Does the label matter, or the choice of the image?",
        {"projection.window": None, "projection.distinct": False, "projection.relabel": True},
    ),
    Variant(
        "as published",
        "What does the complete published training achieve in the recipe's number of epochs? "
        "Unchanged: backbone, warm-up, "
        "augmentation, batches, radius and number of prototypes.",
        {
            "start": "uniform",
            "calibrate_scale": False,
            "schedule.optimizer": "adam",
            "schedule.decay": "step",
            "schedule.backbone_rate": 5e-4,
            "schedule.head_rate": 5e-4,
            "schedule.scale_rate": 0.01,
            "schedule.weight_decay": 0.0,
            "projection.epochs": "published",
            "losses.metric": 1.0,
            "losses.leak": 0.05,
            "losses.own": True,
            "losses.sigma": 1.0,
            "losses.consistency": 10.0,
            "losses.prediction": 0.0,
            "losses.alignment": 0.0,
            "losses.equivariance": 0.0,
            "architecture.matching": "transport",
            "architecture.prior": 0.0,
            "architecture.marginals": "uniform",
            "architecture.weights": "cut",
            "architecture.regularization": 0.1,
            "architecture.guide": 0,
            **ANYWHERE,
            "architecture.members": 1,
            "architecture.planes": 1,
            "schedule.by_position": False,
            "projection.window": None,
            "projection.distinct": False,
            "projection.relabel": False,
        },
    ),
    Variant(
        "spatial prior",
        "What is the effect of a spatial prior in matching?",
        {"architecture.prior": 0.1},
    ),
    Variant(
        "no spatial prior",
        "What is the effect of a spatial prior in matching?",
        {"architecture.prior": 0.0},
    ),
    Variant(
        "equivariance",
        "What is the effect of training on moved copies of an image?",
        {"losses.equivariance": 1.0},
    ),
    Variant(
        "no equivariance",
        "What is the effect of training on moved copies of an image?",
        {"losses.equivariance": 0.0},
    ),
    Variant("25 prototypes", "How many prototypes are needed?", {"architecture.prototypes": 25}),
    Variant("50 prototypes", "How many prototypes are needed?", {"architecture.prototypes": 50}),
    Variant("100 prototypes", "How many prototypes are needed?", {"architecture.prototypes": 100}),
    Variant(
        "free prototypes",
        "What if prototypes are free between projections, as published, instead of training images "
        "in every step?",
        {"projection.every_step": False},
        only="projection.every_step",
    ),
    Variant(
        "one function",
        "What if all patches share one network?",
        {
            **ANYWHERE,
            "architecture.matching": "position",
            "architecture.places": (),
            "architecture.widths": (64, 64),
            "warmup.epochs": 600,
            "warmup.learning_rate": 0.005,
        },
        only="architecture.places",
    ),
    Variant(
        "no simulated scanners",
        "What is the effect of simulated scanners in the training?",
        {"augmentation.scanners": 0},
    ),
    Variant("one network", "What is the effect of an ensemble?", {"architecture.members": 1}),
    Variant("three networks", "What is the effect of an ensemble?", {"architecture.members": 3}),
    Variant("finer grid", "Are patches of half the size better?", {"architecture.stride": "÷2"}),
    Variant("coarser grid", "Are patches of twice the size better?", {"architecture.stride": "×2"}),
    Variant("smaller radius", "How does the radius matter?", {"architecture.radius": "×0.75"}),
    Variant("larger radius", "How does the radius matter?", {"architecture.radius": "×1.33"}),
    Variant(
        "weights cut at the radius",
        "What if distant prototypes have no weight, and the nearest one alone gives the "
        "prediction if all are distant?",
        {"architecture.weights": "cut"},
    ),
    Variant(
        "relative weights",
        "What if the nearest prototypes always have a weight above 0?",
        {"architecture.weights": "relative"},
    ),
    Variant(
        "sharper transport",
        "How much entropic regularization is needed?",
        {"architecture.regularization": "×0.25"},
    ),
    Variant(
        "softer transport",
        "How much entropic regularization is needed?",
        {"architecture.regularization": "×4"},
    ),
)
"""Variants of `python -m studies ablation`; those that do not change a recipe are left out."""


def select_variants(names: list[str] | None) -> list[Variant]:
    """Variants by name, the recipe itself first.

    Parameters
    ----------
    names : list of str or None
        All variants if None.

    Returns
    -------
    list of Variant

    Raises
    ------
    RecipeError
        There is no variant of that name; the message lists them.
    """
    known = {variant.name: variant for variant in VARIANTS}
    for name in names or []:
        if name not in known:
            raise RecipeError(
                f"There is no variant '{name}': choose among {', '.join(repr(v) for v in known)}."
            )
    return [
        variant
        for variant in VARIANTS
        if names is None or variant.name in names or variant.name == BASE
    ]


def scale_epochs(recipe: Recipe, budget: float) -> Recipe:
    """The recipe with its numbers of epochs multiplied, including the epochs of its projections.

    Parameters
    ----------
    recipe : Recipe
    budget : float
        Factor.

    Returns
    -------
    Recipe
    """
    if budget == 1:
        return recipe

    def scaled(epochs: int) -> int:
        return max(1, round(epochs * budget))

    projection = recipe.projection.model_copy(update={
        "epochs": tuple(sorted({round(epoch * budget) for epoch in recipe.projection.epochs})),
        "every": scaled(recipe.projection.every),
    })  # fmt: skip
    return recipe.model_copy(
        update={
            "warmup": recipe.warmup.model_copy(
                update={"epochs": scaled(recipe.warmup.epochs) if recipe.warmup.epochs else 0}
            ),
            "schedule": recipe.schedule.model_copy(
                update={"epochs": scaled(recipe.schedule.epochs)}
            ),
            "projection": projection,
        }
    )
