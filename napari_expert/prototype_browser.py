"""Which prototypes are beside the explained image: a few of all, in a chosen order.

The prototypes shown are consecutive in the order. Where one of them was not matched in the run, the
session announces `wanted`; whoever has the model answers with `PrototypeBrowser.add`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from expert.errors import InputError
from expert.prototype_matching import ranks
from napari_expert.side_by_side import Board

if TYPE_CHECKING:
    from collections.abc import Sequence

    from expert.explanation import Explanation, PrototypeMatch
    from napari_expert.session import Session

Order = Literal["weight", "label", "patch"]
KEPT = 12
"""Matches made after the run that are kept for each image: one of fine patches needs 20 MB."""


@dataclass(frozen=True, eq=False)
class Request:
    """Prototypes that have to be matched before they can be shown."""

    explanations: tuple[Explanation, ...]
    missing: tuple[tuple[int, ...], ...]
    """For each explanation, indices of prototypes."""
    shown: tuple[int, ...]
    """All prototypes to be shown then."""
    partner: int
    """Which of them is beside the image in the lines layout, 0-based."""


def by_weight(explanations: Sequence[Explanation]) -> np.ndarray:
    """All prototypes, the largest weight first.

    Parameters
    ----------
    explanations : sequence of Explanation
        One, or two of the same model: by the smaller of the two weights, then by the larger of the
        two distances.

    Returns
    -------
    (P,) int ndarray
    """
    if len(explanations) == 1:
        return np.argsort(ranks(explanations[0]))
    shares = np.min([e.shares for e in explanations], axis=0)
    distances = np.max([e.distances for e in explanations], axis=0)
    return np.lexsort((distances, -shares))


def by_label(explanation: Explanation) -> np.ndarray:
    """(P,) all prototypes, the smallest label first; of the same label, the nearest first."""
    return np.lexsort((explanation.distances, explanation.labels))


def by_patch(explanation: Explanation, view: int, patch: int) -> np.ndarray:
    """(P,) all prototypes, the one most similar in a patch first.

    Similar is what the patch contributes little to the distance from. The mass of the patch is the
    same for all prototypes.
    """
    contributions = explanation.views[view].contributions[:, patch]
    return np.lexsort((ranks(explanation), contributions))


def first_near(labels: np.ndarray, value: float, count: int) -> int:
    """Where those begin that are nearest to a value.

    Parameters
    ----------
    labels : (P,) ndarray
        In increasing order.
    value : float
    count : int
        Number of labels to take.

    Returns
    -------
    int
        ``labels[start : start + count]`` are nearest to the value.
    """
    far = [
        max(abs(labels[start] - value), abs(labels[start + count - 1] - value))
        for start in range(len(labels) - count + 1)
    ]
    return int(np.argmin(far)) if far else 0


class PrototypeBrowser:
    """Steps through the prototypes of a session.

    Parameters
    ----------
    session : Session
        Shows them.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.restart(())

    def restart(self, explanations: tuple[Explanation, ...]) -> None:
        """Begin with other explained images, in the order of the weights."""
        self._explanations = explanations
        self._matches: list[dict[int, PrototypeMatch]] = [{} for _ in explanations]
        self.order: Order = "weight"
        self.start, self._direction = 0, 1
        self.near: float | None = None
        self.request: Request | None = None
        self.sequence = by_weight(explanations) if explanations else np.array([], dtype=int)

    # --- choosing ---------------------------------------------------------------------------------
    def step(self, step: int) -> None:
        """Show the next (1) or previous (-1) prototype in the order.

        In the lines layout it comes beside the image; in the grid all prototypes move by one place.
        """
        session, board = self._session, self._session.board
        if board is None or not board.prototypes:
            return
        self._direction = step
        place = session.partner - board.subjects + step
        if session.mode == "lines" and 0 <= place < len(board.prototypes):
            session.show_partner(board.subjects + place)
            return
        self._go(self.start + step, len(board.prototypes) - 1 if step > 0 else 0)

    def sort(self, order: Order) -> None:
        """Order the prototypes by weight, by label or by similarity in the selected patch.

        By label, those nearest to the last one asked for are shown, at first to the prediction.

        Raises
        ------
        expert.errors.InputError
            By patch, and no patch is selected.
        """
        session, board = self._session, self._session.board
        if board is None:
            return
        if order == "label":
            near = board.explanations[0].prediction if self.near is None else self.near
            self.show_near(near)
            return
        sequence = by_weight(self._explanations)
        if order == "patch":
            if session.focus is None:
                raise InputError(
                    "No patch is selected: click one in the image, then sort by the selected patch."
                )
            patch = int(session.focus.shares[0].argmax())
            sequence = by_patch(board.explanations[0], session.plane.view, patch)
        self.order, self.sequence = order, sequence
        self._go(0)

    def show_near(self, label: float) -> None:
        """Show the prototypes whose labels are nearest to a value, in the order of the labels."""
        board = self._session.board
        if board is None:
            return
        first, self.near = board.explanations[0], label
        self.order, self.sequence = "label", by_label(first)
        labels = first.labels[self.sequence]
        start = first_near(labels, label, min(self._session.top, len(labels)))
        away = np.abs(labels[start : start + self._session.top] - label)
        self._go(start, int(away.argmin()))

    def show(self, index: int) -> None:
        """Show one prototype and those after it in the order.

        Parameters
        ----------
        index : int
            0-based, of the prototype.
        """
        board = self._session.board
        if board is None:
            return
        if index in board.prototypes:
            self._session.show_partner(board.subjects + board.prototypes.index(index))
            return
        place = int(np.flatnonzero(self.sequence == index)[0])
        self._go(place, place - self._clipped(place))

    def refresh(self) -> None:
        """Show as many prototypes as the session says, from the same first one."""
        self._go(self.start)

    def ahead(self) -> Request | None:
        """The next prototype in the order, to be matched before it is asked for; None if it is."""
        board = self._session.board
        place = self.start - 1 if self._direction < 0 else self.start + self._session.top
        if board is None or self.request is not None or not 0 <= place < len(self.sequence):
            return None
        index = int(self.sequence[place])
        missing = tuple(
            () if index in self._known(number) else (index,)
            for number in range(len(self._explanations))
        )
        return Request(self._explanations, missing, board.prototypes, 0) if any(missing) else None

    # --- showing ----------------------------------------------------------------------------------
    def _clipped(self, start: int) -> int:
        return int(np.clip(start, 0, max(len(self.sequence) - self._session.top, 0)))

    def _go(self, start: int, partner: int = 0) -> None:
        """Show the prototypes from a place of the order on, when all of them are matched."""
        self.start = self._clipped(start)
        shown = tuple(int(n) for n in self.sequence[self.start : self.start + self._session.top])
        missing = tuple(
            tuple(n for n in shown if n not in self._known(number))
            for number in range(len(self._explanations))
        )
        self.request = Request(self._explanations, missing, shown, partner)
        if any(missing):
            self._session.events.wanted.emit()
        else:
            self._finish()

    def _known(self, number: int) -> dict[int, PrototypeMatch]:
        """All matches of an explanation, by the index of the prototype."""
        first = self._explanations[number].prototypes
        return {match.index: match for match in first} | self._matches[number]

    def add(self, request: Request, matches: Sequence[Sequence[PrototypeMatch]]) -> None:
        """Answer a request, and show what was asked for if it is still wanted.

        Parameters
        ----------
        request : Request
            What was asked for.
        matches : sequence of sequence of PrototypeMatch
            For each explanation, those that were missing.
        """
        if request.explanations != self._explanations:
            return
        for kept, new in zip(self._matches, matches, strict=True):
            for match in new:
                kept[match.index] = match
            needed = (self.request or request).shown
            for index in [n for n in kept if n not in needed][: max(len(kept) - KEPT, 0)]:
                del kept[index]
        if request is self.request:
            self._finish()

    def fail(self, request: Request, reason: str) -> None:
        """Answer a request that cannot be met; what is shown stays.

        Two images can still be compared by the prototypes that were matched in both runs.

        Parameters
        ----------
        request : Request
            What was asked for.
        reason : str
            One sentence.
        """
        if request is not self.request:
            return
        board, self.request = self._session.board, None
        if board is not None and board.subjects != len(self._explanations):
            both = set.intersection(*(set(self._known(n)) for n in range(len(self._explanations))))
            self.sequence = np.array([n for n in self.sequence if int(n) in both], dtype=int)
            if both:
                self._go(0)
                return
            self.restart(board.explanations)
        elif board is not None:
            self.order, self.sequence = "weight", by_weight(self._explanations)
            self.start = int(np.flatnonzero(self.sequence == board.prototypes[0])[0])
        self._session.events.failed.emit(reason)

    def _finish(self) -> None:
        request, self.request = self.request, None
        assert request is not None
        extended = tuple(
            _with(explanation, [self._known(number)[n] for n in request.shown])
            for number, explanation in enumerate(self._explanations)
        )
        board = Board(*extended, top=self._session.top, prototypes=request.shown)
        _exchange(self._session, board, request.partner)


def _exchange(session: Session, board: Board, partner: int) -> None:
    """Show other prototypes; beside the same images, plane, patches and colours stay.

    `partner` of them is beside the image in the lines layout.
    """
    if session.native:
        session.show_mode(session.layout)
    before, focus, pinned = session.board, session.focus, session.pinned
    same = before is not None and before.subjects == board.subjects
    session.explanation, session.other = board.explanations[0], (*board.explanations, None)[1]
    session.put(board, keep=same)
    session.partner = board.subjects + partner
    if same:
        if session.map is not None and not set(session.map.prototypes) <= set(board.prototypes):
            session.map = None
        session.focus = None
        if focus is not None and focus.tile < board.subjects:
            shares = board.partners(session.plane.view, focus.tile, focus.patch)
            session.focus = replace(focus, shares=shares)
        session.pinned = pinned and session.focus is not None
    session.events.result.emit()


def _with(explanation: Explanation, shown: list[PrototypeMatch]) -> Explanation:
    """The explanation with the prototypes shown among its own, by rank; itself if they are."""
    own = {match.index for match in explanation.prototypes}
    more = [match for match in shown if match.index not in own]
    if not more:
        return explanation
    every = sorted((*explanation.prototypes, *more), key=lambda match: match.rank)
    return explanation.model_copy(update={"prototypes": tuple(every)})
