"""What a forked process has to say to the one that forked it: words on the way, then its answer.

Both are the same program in the same state, so values travel pickled, each after its length.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import traceback
from collections.abc import Callable
from typing import IO, Any, NamedTuple

from netlab.errors import NetlabError

_LENGTH = struct.Struct("=Q")
_channel: int | None = None  # of this process, if it was forked to do a piece of work


class Outcome(NamedTuple):
    """How a piece of work ended: with a value or an error."""

    value: Any = None
    error: BaseException | None = None


def tell(*words: Any) -> None:
    """Hand words to the process that waits for this one; nobody hears them where none does."""
    if _channel is not None:
        _send(_channel, words)


def answer(fd: int, work: Callable[[], Any]) -> None:
    """Do the work of this process, and send how it ended."""
    global _channel
    _channel = fd
    try:
        outcome = Outcome(work())
        pickle.dumps(outcome.value)
    except BaseException as error:  # whatever it is, it is the caller's to handle
        outcome = Outcome(error=_portable(error))
    with contextlib.suppress(BrokenPipeError):  # who waited does so no more
        _send(fd, outcome)


def receive(fd: int, relay: Callable[..., None]) -> Outcome | None:
    """Wait for the outcome, and hand on what is told before; None if the process just ended."""
    with os.fdopen(fd, "rb", closefd=False) as stream:
        while (message := next_message(stream)) is not None:
            if isinstance(message, Outcome):
                return message
            relay(*message)
    return None


def next_message(stream: IO[bytes]) -> tuple[Any, ...] | None:
    """The next words that are told, or the outcome; None if the process just ended."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    message: tuple[Any, ...] | None = pickle.loads(body) if len(body) == length else None
    return message


def refuse(fd: int, error: Exception) -> None:
    """Send that the work cannot be done."""
    _send(fd, Outcome(error=error))


def _send(fd: int, message: Any) -> None:
    body = pickle.dumps(message)
    with os.fdopen(fd, "wb", closefd=False) as stream:
        stream.write(_LENGTH.pack(len(body)) + body)


def _portable(error: BaseException) -> BaseException:
    """An error that survives the way, with the place where it was raised as a note."""
    if not isinstance(error, NetlabError | KeyboardInterrupt):
        error.add_note(traceback.format_exc())
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    assert isinstance(copy, BaseException)
    return copy
