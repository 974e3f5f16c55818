"""Reserves the standard input and output of a child process for messages."""

from __future__ import annotations

import os
from typing import BinaryIO


def reserved() -> tuple[BinaryIO, BinaryIO]:
    """Move the pipes to the owner to other file descriptors; return the pipe to read and the one to write.

    Nodes, libraries and the programs that they start may print, which would damage the messages. Child
    processes do not inherit the new descriptors, and printed text goes to standard error. Call this before
    any other import.
    """
    incoming, outgoing = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return incoming, outgoing
