"""Becomes the job's child: dies with its parent, then turns into the command.

Run as a script by `worker.child`, with the pid of the parent and the command as arguments. It stands
between the two because setting these things between fork and exec of a process with threads can hang.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Prepare this process and replace it with the command."""
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        sys.exit(1)  # the parent died before it could take us with it
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
