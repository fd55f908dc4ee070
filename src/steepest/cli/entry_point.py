"""From the arguments to the exit status: every failure is one line on stderr."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence

import click

from steepest.cli.commands import steepest
from steepest.errors import SteepestError

__all__ = ["main"]

BAD_INPUT = 2
INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h; 1 means a wrong gradient
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        The exit status: 0 for success, 2 for bad arguments or files, 130 after Ctrl-C, 141 when
        the reader of the output has gone; `check` also returns 1 and 3, `train` 1.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a character of ours gets its escape, not a traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _run(sys.argv[1:] if arguments is None else list(arguments))
        print(end="", flush=True)  # a broken pipe shows here at the latest
    except BrokenPipeError:
        # The interpreter flushes stdout once more on its way out; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        print("steepest: interrupted", file=sys.stderr)
        return INTERRUPTED
    return status


def _run(arguments: list[str]) -> int:
    """Run a command, with errors that the user can mend in one line."""
    try:
        with steepest.make_context("steepest", arguments) as context:
            status: int | None = steepest.invoke(context)
            return status or 0
    except click.exceptions.Exit as exit_request:
        return exit_request.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "steepest"
        return _complain(f"{error.format_message().rstrip('.')} (see {command} --help)")
    except click.ClickException as error:
        return _complain(error.format_message())
    except SteepestError as error:
        advice = f"; instead: {error.instead}" if error.instead else ""
        return _complain(error.message + advice)
    except MemoryError as error:
        return _complain(f"not enough memory: {error}")
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}")
    except Exception:  # a bug, to be shown whole
        traceback.print_exc()
        return INTERNAL_ERROR


def _complain(message: str) -> int:
    print("steepest: error:", " ".join(message.split()), file=sys.stderr)
    return BAD_INPUT
