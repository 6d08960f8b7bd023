"""Texts that somebody could write into a file, table, header or model card, and a model of them."""

from __future__ import annotations

from pathlib import Path

from helpers.bad_models import Parts, small_model

HTML = '<script>alert(1)</script><img src="file:///etc/passwd" onerror=alert(1)>'
ANSI, TURNED, MARKUP = "\x1b[31m\x1b]0;x\x07", "\u202egnp.exe", "[red]x[/red][link=http://a.b]y"
HOSTILE = f"{HTML}{ANSI}{TURNED}{MARKUP}{{{{7*7}}}}"
FORMULAS = ("=cmd|'/c calc'!A1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1")


def hostile_model(folder: Path) -> Path:
    """A small model whose texts are all hostile."""
    path = small_model(folder)
    parts = Parts(path)
    document = parts.document
    document["label"] |= {"name": HOSTILE, "unit": HOSTILE}
    document["training"] |= {"dataset": HOSTILE, "licence": HOSTILE}
    document |= {"version": HOSTILE, "card": f"{HOSTILE}\n{FORMULAS[0]}", "collapsed": HOSTILE}
    document["validation"] = {HOSTILE: 1.0}
    for one in document["prototypes"]:
        one["reference"] |= {"dataset": HOSTILE, "subject": HOSTILE, "file": HOSTILE}
    tensors = {name: one for name, one in parts.tensors.items() if name != "prototype_images"}
    path.write_bytes(parts.signed(tensors, document))
    return path
