"""Lightning callbacks: projection, early stopping at projections, state of random numbers."""

from __future__ import annotations

from typing import Any

import torch

from expert.training.framework import lightning


class ProjectPrototypes(lightning.Callback):
    """Project the prototypes before the epochs the recipe lists, and after the last one."""

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Project where the recipe asks for it before this epoch."""
        if pl_module.recipe.projection.due(trainer.current_epoch):
            pl_module.project()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Project the final prototypes."""
        pl_module.project()


class RandomState(lightning.Callback):
    """Keep the state of the random numbers in the checkpoint.

    A training that is continued draws the same batches and changes of images as one that was never
    interrupted.
    """

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint, at the end of an epoch."""
        return {"cpu": torch.get_rng_state(), "graphics": torch.cuda.get_rng_state_all()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint; with other graphics cards, theirs start anew."""
        torch.set_rng_state(state_dict["cpu"].cpu())
        if len(state_dict["graphics"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all([state.cpu() for state in state_dict["graphics"]])


class Ending(lightning.Callback):
    """Whether the end of a training was reached.

    Lightning leaves the end out of a training that was interrupted after its last epoch.
    """

    def __init__(self) -> None:
        self.reached = False

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Note it."""
        self.reached = True

    def make_up(self, trainer: Any, module: Any) -> None:
        """Do what is to be done at the end, if Lightning has left it out."""
        for callback in trainer.callbacks:
            if not self.reached and isinstance(callback, ProjectPrototypes | StopAtBestProjection):
                callback.on_train_end(trainer, module)


class StopAtBestProjection(lightning.pytorch.callbacks.EarlyStopping):
    """Lightning's early stopping, checked after each projection instead of after each epoch.

    Only projected prototypes are training images, so only their validation loss counts. At the end
    of the training the module gets the weights of the best projection.

    Parameters
    ----------
    patience : int
        Projections without a lower validation loss after which the training stops.
    """

    def __init__(self, patience: int) -> None:
        super().__init__(
            "validation_loss", patience=patience, check_finite=False, check_on_train_epoch_end=True
        )
        self.best_weights: dict[str, torch.Tensor] | None = None

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Check after a projection."""
        if pl_module.recipe.projection.due(trainer.current_epoch):
            self._check(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Do nothing: the prototypes are not projected here."""

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Check after the last projection, then restore the best weights."""
        self._check(trainer, pl_module)
        if self.best_weights is not None:
            pl_module.load_state_dict(self.best_weights)

    def _check(self, trainer: Any, pl_module: Any) -> None:
        trainer.callback_metrics[self.monitor] = loss = pl_module.validation_loss()
        if loss < self.best_score:
            self.best_weights = {
                name: value.detach().clone() for name, value in pl_module.state_dict().items()
            }
        super().on_train_epoch_end(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """State for the checkpoint, with the best weights."""
        return {**super().state_dict(), "best_weights": self.best_weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        super().load_state_dict(state_dict)
        self.best_weights = state_dict["best_weights"]

    def on_load_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Read the state that earlier versions wrote into the module's part of a checkpoint."""
        if "expert" in checkpoint:
            former = checkpoint["expert"]
            self.best_score = torch.tensor(former["best"])
            self.wait_count, self.best_weights = former["stale"], former["kept"]
