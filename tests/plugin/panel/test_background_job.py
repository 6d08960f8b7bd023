"""Tests of `napari_expert.panel.background_job`."""

from __future__ import annotations

import threading
import time

from helpers.window import over

from expert.errors import InputError
from napari_expert.panel.background_job import BackgroundJob


class Steps(BackgroundJob):
    """Reports steps until it is cancelled or has made all, then returns their number or fails."""

    doing = "stepping"

    def __init__(self, steps, error=None):
        super().__init__()
        self.steps, self.error, self.made = steps, error, 0

    def work(self):
        assert threading.current_thread() is not threading.main_thread()
        for step in range(self.steps):
            self.report("step", step / self.steps)
            self.made += 1
            time.sleep(0.01)
        if self.error is not None:
            raise self.error
        return self.made


def heard(job):
    calls = []
    job.advanced.connect(lambda stage, fraction: calls.append((stage, fraction)))
    job.succeeded.connect(lambda result: calls.append(("succeeded", result)))
    job.failed.connect(lambda message: calls.append(("failed", message)))
    job.finished.connect(lambda: calls.append("finished"))
    return calls


def test_progress_outcome_and_end_arrive_in_order(qtbot):
    job = Steps(4)
    calls = heard(job)
    with qtbot.waitSignal(job.finished, timeout=5000):
        job.start()
        assert job.running
    assert calls == [*(("step", n / 4) for n in range(4)), ("succeeded", 4), "finished"]
    assert not job.running


def test_errors_are_one_sentence(qtbot, capfd):
    for error, message in (
        (InputError("No image."), "No image."),
        (
            KeyError("patient"),
            "Unexpected KeyError while stepping: please report it, with what you did.",
        ),
    ):
        job = Steps(1, error)
        calls = heard(job)
        with qtbot.waitSignal(job.finished, timeout=5000):
            job.start()
        assert calls[-2:] == [("failed", message), "finished"]
    assert "patient" not in "".join(capfd.readouterr())


def test_cancel_acts_at_once_and_stops_the_thread(qtbot):
    job = Steps(1000)
    calls = heard(job)
    job.start()
    qtbot.waitUntil(lambda: job.made > 2, timeout=5000)
    start = time.monotonic()
    job.cancel()
    assert time.monotonic() - start < 0.1
    assert calls[-1] == "finished"
    assert not job.running
    over(qtbot)
    assert job.made < 1000
    assert calls.count("finished") == 1
    assert not [call for call in calls if call[0] in ("succeeded", "failed")]


def test_jobs_of_one_turn_never_work_at_the_same_time(qtbot):
    """What a cancelled job still does ends before the next one works."""
    together, most = [], []

    class Step(BackgroundJob):
        def work(self):
            together.append(self)
            most.append(len(together))
            time.sleep(0.3)  # a step without a check
            together.remove(self)
            self.report("step", 1.0)

    turn, jobs = threading.Lock(), [Step() for _ in range(4)]
    for job in jobs:
        job.turn = turn
        job.start()
        qtbot.wait(50)
        if job is not jobs[-1]:
            job.cancel()
            assert not job.running
    qtbot.waitUntil(lambda: not jobs[-1].running, timeout=10_000)
    over(qtbot)
    assert set(most) == {1}
    assert len(most) == 2, "a job that was cancelled while it waited did not work"
