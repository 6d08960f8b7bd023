"""Which prototypes are shown without their own image, and how to get it: download, or a folder.

Nothing is downloaded before the user has seen the licence and pressed *Download*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from qtpy.QtCore import QObject
from qtpy.QtCore import Signal as QtSignal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_expert.panel.background_job import BackgroundJob
from napari_expert.panel.qt_helpers import Label, menu_button

if TYPE_CHECKING:
    from pathlib import Path

    from expert.explanation import PrototypeMatch
    from expert.schema import ImageReference


class FetchJob(BackgroundJob):
    """One call of `expert.datasets.fetching.fetch_images` in another thread.

    Parameters
    ----------
    references : sequence of ImageReference
        The images to download.
    parent : QObject, optional
    """

    doing = "downloading"

    def __init__(self, references: Sequence[ImageReference], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.references = tuple(references)

    def work(self) -> tuple[Path, ...]:
        """Download, in the other thread."""
        from expert.datasets.fetching import fetch_images

        return fetch_images(self.references, self.report)


class FetchSection(QWidget):
    """Offers the images of the prototypes that are shown without their own.

    Parameters
    ----------
    parent : QWidget, optional
    """

    fetched = QtSignal()
    """Images were downloaded."""
    folder_chosen = QtSignal(str)
    """The images are in this folder."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.job: FetchJob | None = None
        self._missing: tuple[PrototypeMatch, ...] = ()
        self._asked: tuple[ImageReference, ...] = ()
        self._unit = ""
        self._downloaded: set[str] = set()
        self.text = Label("expert_missing_images")
        self.problem = Label("expert_fetch_problem", "error")
        self.get_button = menu_button(
            "Get…",
            "Download the images of these people from their public data set. The licence is shown "
            "first.",
            [],
        )
        self.folder_button = QPushButton("Choose a folder…")
        self.folder_button.setToolTip(
            "Choose the folder with the data set this model was trained on; the run is then "
            "repeated."
        )
        self.download_button = QPushButton("Download")
        self.cancel_button = QPushButton("Cancel")
        self.progress = QProgressBar()
        self.progress.setRange(0, 1000)
        column, row = QVBoxLayout(self), QHBoxLayout()
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self.text, self.problem, self.progress):
            column.addWidget(widget)
        for button in (
            self.get_button,
            self.folder_button,
            self.download_button,
            self.cancel_button,
        ):
            row.addWidget(button)
        column.addLayout(row)
        self.folder_button.clicked.connect(self._choose_folder)
        self.download_button.clicked.connect(self._download)
        self.cancel_button.clicked.connect(self.cancel)
        self._show_offer()

    # --- what is missing --------------------------------------------------------------------------
    def show_matches(self, matches: Sequence[PrototypeMatch], unit: str) -> None:
        """Offer the images of the prototypes shown, as far as they are missing.

        Parameters
        ----------
        matches : sequence of PrototypeMatch
        unit : str
            Of the labels.
        """
        self._missing = tuple(match for match in matches if match.own_image is None)
        self._unit = unit
        if self.job is None:
            self._asked = ()
            self._say_problem("")
            self._show_offer()

    def _show_offer(self) -> None:
        """What is missing, and the two ways to it; hidden while nothing is missing."""
        from expert.datasets.fetching import obstacle

        self.setVisible(bool(self._missing))
        arrived = [match for match in self._missing if self._arrived(match)]
        missing = [match for match in self._missing if not self._arrived(match)]
        if arrived and not missing:
            self.text.setText("The images were downloaded: press Run to show them.")
            self._show_widgets()
            return
        named = [match for match in missing if match.reference is not None]
        free = [match for match in named if match.reference and not obstacle(match.reference)]
        lines = [_missing_text(missing)] if missing else []
        if arrived:
            lines.insert(0, f"Downloaded: {_ranks(arrived)}. Press Run to show them.")
        lines += dict.fromkeys(
            obstacle(match.reference)
            for match in named
            if match.reference and obstacle(match.reference)
        )
        if missing and not named:
            lines.append("The model does not refer to them.")
        self.text.setText(" ".join(lines))
        menu = self.get_button.menu()
        assert menu is not None
        menu.clear()
        if len(free) > 1:
            self._add(menu, f"All {len(free)}", free)
        for match in free:
            assert match.reference is not None
            label = f"{match.own_label:.0f} {self._unit}"
            self._add(menu, f"#{match.rank} · {label} · {match.reference.dataset}", [match])
        self._show_widgets(get=bool(free), folder=bool(named))

    def _arrived(self, match: PrototypeMatch) -> bool:
        """Whether an image was downloaded after the run that is shown."""
        from expert.datasets.fetching import cached_file

        reference = match.reference
        return (
            reference is not None
            and reference.sha256 in self._downloaded
            and cached_file(reference).is_file()
        )

    def _add(self, menu: QMenu, words: str, matches: Sequence[PrototypeMatch]) -> None:
        action = menu.addAction(words)
        assert action is not None
        indices = tuple(match.index for match in matches)
        action.triggered.connect(lambda checked=False: self.ask(indices))

    def _show_widgets(
        self, *, get: bool = False, folder: bool = False, download: bool = False, run: bool = False
    ) -> None:
        self.get_button.setVisible(get)
        self.folder_button.setVisible(folder)
        self.download_button.setVisible(download)
        self.cancel_button.setVisible(download or run)
        self.progress.setVisible(run)

    def _say_problem(self, message: str) -> None:
        self.problem.setText(message)
        self.problem.setVisible(bool(message))

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder of the data set")
        if folder:
            self.folder_chosen.emit(folder)

    # --- downloading ------------------------------------------------------------------------------
    def ask(self, indices: Sequence[int] | None = None) -> None:
        """Show licence and source of missing images, and ask whether to download them.

        Parameters
        ----------
        indices : sequence of int, optional
            0-based, of the prototypes; by default all that are shown without their own image.
        """
        from expert.datasets.fetching import (
            cache_folder,
            licences,
            obstacle,
            public_address,
            remarks,
        )

        if self.job is not None:
            return
        self._asked = tuple(
            match.reference
            for match in self._missing
            if match.reference is not None
            and not obstacle(match.reference)
            and (indices is None or match.index in indices)
        )
        if not self._asked:
            return
        self._say_problem("")
        hosts = dict.fromkeys(urlsplit(public_address(one) or "").hostname for one in self._asked)
        count = "1 image" if len(self._asked) == 1 else f"{len(self._asked)} images"
        self.text.setText(
            f"Download {count} from {', '.join(filter(None, hosts))} to {cache_folder()}? Nothing "
            f"is uploaded. Licence: {'; '.join(licences(self._asked))}. "
            + " ".join(remarks(self._asked))
        )
        self._show_widgets(download=True)

    def _download(self) -> None:
        if self.job is not None:
            return
        self.job = job = FetchJob(self._asked, self)
        job.advanced.connect(self._advance)
        job.succeeded.connect(lambda paths: self._succeed(job))
        job.failed.connect(self._say_problem)
        job.finished.connect(lambda: self._finish(job))
        self.progress.setFormat("connecting")
        self.progress.setValue(0)
        self._show_widgets(run=True)
        job.start()

    def _advance(self, name: str, fraction: float) -> None:
        if self.job is not None and self.job.running:
            self.progress.setFormat(f"{name}: %p %")
            self.progress.setValue(round(1000 * fraction))

    def _succeed(self, job: FetchJob) -> None:
        self._downloaded |= {reference.sha256 for reference in job.references}
        self.fetched.emit()

    def cancel(self) -> None:
        """Cancel at once; what has arrived is kept, and the next download goes on there."""
        if self.job is None:
            self._show_offer()
        self.stop()

    def stop(self) -> None:
        """Cancel a download, if there is one: nobody sees it any more."""
        if self.job is not None:
            self.job.cancel()

    def _finish(self, job: FetchJob) -> None:
        if self.job is job:
            self.job = None
        job.deleteLater()
        self._show_offer()


def _ranks(matches: Sequence[PrototypeMatch]) -> str:
    return ", ".join(f"#{match.rank}" for match in matches)


def _missing_text(matches: Sequence[PrototypeMatch]) -> str:
    """Which prototypes are shown without their own image, in a sentence."""
    averages = sum(match.average is not None for match in matches)
    ranks = _ranks(matches)
    shown = "as average heads" if averages else "without an image"
    if 0 < averages < len(matches):
        shown = "as average heads or without an image"
    if len(matches) == 1:
        shown = shown.replace("heads", "head").replace("as av", "as an av")
        return f"{ranks} is shown {shown}: its own image is not on this computer."
    return f"{ranks} are shown {shown}: their own images are not on this computer."
