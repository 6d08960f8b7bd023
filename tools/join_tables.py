"""Join the tables of several data sets into one, with a column `site`.

    python tools/join_tables.py heads.csv "IXI=ixi/labels.csv" "ds002748=ds002748/labels.csv"

Paths of files become relative to the new table. `reference` keeps the path within the data set, and
`subject` is preceded by the site, so that people of two sites are not taken for one.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

COLUMNS = ("subject", "file", "reference", "site", "age_years")


def join(target: Path, sources: dict[str, Path]) -> int:
    """Write the joined table; the number of its rows."""
    rows = []
    for site, source in sources.items():
        with source.open(newline="", encoding="utf-8-sig") as stream:
            for row in csv.DictReader(stream):
                file = os.path.relpath(source.parent / row["file"], target.parent.resolve())
                rows.append(
                    {
                        "subject": f"{site} {row['subject']}",
                        "file": file,
                        "reference": row["file"],
                        "site": site,
                        "age_years": row["age_years"],
                    }
                )
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return len(rows)


if __name__ == "__main__":
    if len(sys.argv) < 3 or not all("=" in one for one in sys.argv[2:]):
        sys.exit(__doc__)
    pairs = (one.split("=", 1) for one in sys.argv[2:])
    out = Path(sys.argv[1])
    print(f"{out}: {join(out, {site: Path(path) for site, path in pairs})} heads")
