"""End-to-end demo: explain a synthetic head with the model `phantom`.

Writes a screenshot, the report and the explanation.

python -m napari_expert.demo --out demo          writes demo.png, report.html, explanation.json
python -m napari_expert.demo --out demo --show   and leaves the window open
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

AGE, SEED = 72.0, 5


def main() -> int:
    """Run the demo; the exit code is 1 after an error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"))
    parser.add_argument("--show", action="store_true", help="leave the window open")
    arguments = parser.parse_args()

    import expert
    from expert.datasets.phantom import phantom
    from expert.errors import ExpertError
    from napari_expert.api import screenshot, view, wait

    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    head = expert.write_volume(phantom(AGE, SEED), out / "phantom.nii.gz")
    print(f"A synthetic head of {AGE:.0f} years: {head}")
    try:
        viewer, panel = view(head, "phantom")
        viewer.window.resize(1500, 950)
        wait(panel)
        result = panel.session.shown_explanation()
        print(f"Prediction: {panel.result.headline.text()}")
        for match in result.prototypes:
            print(
                f"  #{match.rank}: {match.label:.1f} {result.unit}, weight "
                f"{match.share:.0%}, distance {match.distance:.1f}"
            )
        print(f"Window:     {screenshot(viewer, out / 'demo.png')}")
        print(f"Report:     {expert.write_report(result, out / 'report.html')}")
        panel.session.complete_explanation().save(out / "explanation.json")
    except ExpertError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(result.statement)
    if arguments.show:
        import napari

        napari.run()
    else:
        viewer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
