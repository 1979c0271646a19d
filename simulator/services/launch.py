"""Turns itself into a service process that cannot outlive the program that asked for it.

Runs as a script in between (`python -I -S launch.py OPTIONS -- COMMAND`) because the steps must
happen in the child, after the fork and before the exec, where running Python code in a program
that has threads is not safe. It owns session, chroot, user and parent-death signal; which command
to run and when to stop it belongs to `process.py`.
"""

import argparse
import ctypes
import os
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
"""From <sys/prctl.h>; the signal this process gets when its parent dies."""


def main(argv: Sequence[str]) -> None:
    """Leave the terminal's session, drop rights, bind life to the parent's, become COMMAND."""
    options = _parser().parse_args(argv)
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    os.setsid()  # a Ctrl-C in the terminal reaches the owner, who then stops services in order
    if options.chroot:
        os.chroot(options.chroot)
        os.chdir("/")
    if options.uid is not None:
        os.setgroups([])
        os.setgid(options.gid)
        os.setuid(options.uid)
    if libc is not None:
        # NOTE: only after setuid, since a change of user clears the setting.
        if libc.prctl(PR_SET_PDEATHSIG, options.death_signal, 0, 0, 0) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"prctl(PR_SET_PDEATHSIG): {os.strerror(code)}")
        if os.getppid() != options.parent:
            sys.exit("the parent died before the service started")
    os.execv(options.command[0], options.command)  # noqa: S606 - becoming the command is the point


def _parser() -> argparse.ArgumentParser:
    """The options `process.py` passes."""
    parser = argparse.ArgumentParser(prog="launch")
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--death-signal", type=int, required=True)
    parser.add_argument("--chroot")
    parser.add_argument("--uid", type=int)
    parser.add_argument("--gid", type=int)
    parser.add_argument("command", nargs="+")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
