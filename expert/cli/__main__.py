"""The command ``expert``, also ``python -m expert.cli``."""

import atexit
import os
import signal
import sys
from contextlib import suppress

from expert.cli.interruption import watch


def main() -> None:
    """Run the command of the command line; the program ends soon after Ctrl-C."""
    if int(os.environ.get("LOCAL_RANK", 0)):  # one of several, see `expert.training.launch`
        from expert.datasets.worker_processes import follow_parent

        follow_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    watched = watch()  # before the imports, which take longest
    codes: list[int] = []
    atexit.register(_leave, codes)  # the first to be registered is the last to be called
    try:
        from expert.cli.main import app

        app(prog_name="expert")
    except SystemExit as end:
        codes += [end.code] if isinstance(end.code, int) else []
        raise
    except OSError as error:  # of standard output, as each command catches its own
        _say_unwritten(error)
        codes.append(1)
        sys.exit(1)
    finally:
        if watched is not None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if watched.requested:
                watched.end()


def _leave(codes: list[int]) -> None:
    """End the process without freeing the memory of each library, which takes a second."""
    if not codes:
        return
    code = codes[0]
    try:
        sys.stdout.flush()
    except OSError as error:
        code = code or 1
        _say_unwritten(error)
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def _say_unwritten(error: OSError) -> None:
    if not isinstance(error, BrokenPipeError):  # then nobody reads further, as `head` does not
        with suppress(OSError):
            sys.stderr.write(f"Error: the output could not be written: {error.strerror}.\n")


if __name__ == "__main__":
    main()
