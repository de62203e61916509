"""A process that does not outlive its parent, not even one that is killed."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # prctl(2): the signal this process gets when its parent ends


def end_with(parent: int) -> None:
    """From now on the kernel kills this process when the process `parent`, which started it, ends.

    Where that has happened before the call, this process ends here. Raises OSError when the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    if os.getppid() != parent:
        raise SystemExit(f"The process {parent} that started this one has ended.")
