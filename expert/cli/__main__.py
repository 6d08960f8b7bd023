"""``python -m expert.cli``: the same as the command ``expert``."""

from expert.cli.main import app

app(prog_name="expert")
