"""``python -m expert.cli``: the same as the command ``expert``."""

from expert.cli.app import app

app(prog_name="expert")
