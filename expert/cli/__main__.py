"""The command ``expert``, also ``python -m expert.cli``."""

import atexit
import os
import signal
import sys
from contextlib import suppress

from expert.cli.interruption import watch


def main() -> None:
    """Run the command of the command line; the program ends soon after Ctrl-C."""
    watched = watch()  # before the imports, which take longest
    codes: list[int] = []
    atexit.register(_leave, codes)  # the first to be registered is the last to be called
    try:
        from expert.cli.main import app

        app(prog_name="expert")
    except SystemExit as end:
        codes += [end.code] if isinstance(end.code, int) else []
        raise
    finally:
        if watched is not None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if watched.requested:
                watched.end()


def _leave(codes: list[int]) -> None:
    """End the process without freeing the memory of each library, which takes a second."""
    if codes:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(codes[0])


if __name__ == "__main__":
    main()
