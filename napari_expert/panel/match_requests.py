"""Matches prototypes that a session asks for after the run, in another thread.

Then the next one in the order, so that it is there when it is asked for.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject

from expert.errors import ExpertError

if TYPE_CHECKING:
    from pathlib import Path

    from expert.explanation import Explanation, PrototypeMatch
    from expert.model_file import Model
    from napari_expert.prototype_browser import Request
    from napari_expert.session import Session

Outcome = tuple["list[tuple[PrototypeMatch, ...]] | None", "Exception | None"]


class MatchRequests(QObject):
    """Answers what `Session.events.wanted` asks for, one request at a time.

    Parameters
    ----------
    session : Session
        Asks for them, and shows them.
    chosen : callable
        Returns the model that is chosen, the folder of the prototypes' images and the device.
    parent : QObject, optional
    """

    def __init__(
        self,
        session: Session,
        chosen: Callable[[], tuple[Model | None, Path | None, str]],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._session, self._chosen = session, chosen
        self._worker: Any = None
        self._current: Request | None = None
        session.events.wanted.connect(self._start)

    @property
    def running(self) -> bool:
        """Whether prototypes are being matched."""
        return self._current is not None

    def _start(self) -> None:
        request = self._session.browser.request
        if request is not None and self._current is None:
            self._begin(request)

    def _begin(self, request: Request) -> None:
        model, folder, device = self._chosen()
        self._current = request
        self._worker = create_worker(_answer, request, model, folder, device, _start_thread=False)
        self._worker.returned.connect(self._returned)
        self._worker.start()

    def _returned(self, outcome: Outcome) -> None:
        request, self._current = self._current, None
        if request is None:
            return
        asked = request is self._session.browser.request
        browser, (matches, error) = self._session.browser, outcome
        if matches is not None:
            browser.add(request, matches)
        elif isinstance(error, ExpertError):
            browser.fail(request, str(error))
        elif error is not None:
            browser.fail(
                request,
                f"Unexpected {type(error).__name__} while matching: please report it, with what "
                "you did.",
            )
            traceback.print_tb(error.__traceback__)
        self._start()  # what was asked for in the meantime
        ahead = browser.ahead() if asked and matches is not None and not self.running else None
        if ahead is not None:
            self._begin(ahead)


def _answer(request: Request, model: Model | None, folder: Path | None, device: str) -> Outcome:
    """Match, in the other thread; an error is part of the outcome."""
    from expert.prototype_matching import explain_prototypes

    try:
        fitting = _model_of(request.explanations[0], model)
        return [
            explain_prototypes(fitting, explanation, missing, data=folder, device=device)
            for explanation, missing in zip(request.explanations, request.missing, strict=True)
        ], None
    except Exception as error:
        return None, error


def _model_of(explanation: Explanation, chosen: Model | None) -> Model:
    """The chosen model or a shipped one, if the explanation is by it."""
    from expert.errors import InputError
    from expert.model_file import load_model, shipped_models

    if chosen is not None and chosen.sha256 == explanation.model_sha256:
        return chosen
    if explanation.model_name in shipped_models():
        model = load_model(explanation.model_name)
        if model.sha256 == explanation.model_sha256:
            return model
    raise InputError(
        f"The explanation has no more prototypes: choose its model ({explanation.model_name} "
        f"{explanation.model_version}) above to match others."
    )
