"""What the host lets the agent do beside its boards.

Owns the findings about the user, the kernel log, the spool's folder, the clock and an agent that
runs already. It looks and does not touch: no file is made, no lock is taken.
"""

import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.doctor import Finding, fail, ok, warn
from agent.host.clock_sync import ClockSync, read_clock_sync
from agent.kernel_log.device import HINTS

CLOCK_ERROR_MAX_US = 1_000_000
MEBIBYTE = 1 << 20
LOCKS_PATH = Path("/proc/locks")


def check_host(
    spool_path: Path,
    spool_bytes_max: int,
    kernel_log_path: str,
    ask_clock: Callable[[], ClockSync] = read_clock_sync,
    locks_path: Path = LOCKS_PATH,
) -> Iterator[Finding]:
    """Yield findings about this host and this user."""
    yield check_user(os.geteuid())
    yield check_kernel_log(kernel_log_path)
    yield check_spool(spool_path, spool_bytes_max)
    yield check_other_agent(Path(f"{spool_path}.lock"), locks_path)
    yield check_clock(ask_clock)


def check_user(uid: int) -> Finding:
    """Say whose rights these findings are about."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = f"number {uid}"
    if uid == 0:
        return warn(
            "user",
            "root may read everything, so this says little about the agent's own user",
            "sudo -u fleetgauge fleetgauge doctor --config /etc/fleetgauge/agent.toml",
        )
    return ok("user", f"{name}, without privileges")


def check_kernel_log(path: str) -> Finding:
    """Say whether the kernel log can be read."""
    subject = "kernel log"
    if not path:
        return warn(subject, "is not read by configuration", "set kernel_log_path to /dev/kmsg")
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        hint = HINTS.get(error.errno or -1, "Xids then come from NVML alone, without sub-codes")
        return warn(subject, f"{path}: {error.strerror}", hint)
    return ok(subject, f"{path} can be read")


def check_spool(path: Path, bytes_max: int) -> Finding:
    """Say whether the spool can be kept where it is configured."""
    folder = path.parent
    while not _exists(folder) and folder != folder.parent:
        folder = folder.parent
    owner = f"install -d -o fleetgauge -g fleetgauge -m 0700 {path.parent}"
    if not os.access(folder, os.W_OK | os.X_OK, effective_ids=True):
        return fail("spool", f"{folder} cannot be written by this user", owner)
    if _exists(path) and not os.access(path, os.W_OK, effective_ids=True):
        return fail("spool", f"{path} cannot be written by this user", f"chown fleetgauge {path}")
    try:
        room = os.statvfs(folder)
        held = path.stat().st_size if _exists(path) else 0
    except OSError as error:
        return fail("spool", f"{folder}: {error.strerror}", owner)
    free = room.f_bavail * room.f_frsize + held
    sentence = f"{path.parent}: {bytes_max // MEBIBYTE} MiB wanted, {free // MEBIBYTE} MiB free"
    if free < bytes_max:
        return warn("spool", sentence, "free some space, or set spool_bytes_max lower")
    return ok("spool", sentence)


def _exists(path: Path) -> bool:
    """Whether this user can see it."""
    try:
        return path.exists()
    except OSError:
        return False


def check_other_agent(lock_path: Path, locks_path: Path) -> Finding:
    """Say whether an agent holds the spool's lock, by the kernel's list of locks."""
    subject = "other agent"
    try:
        inode = lock_path.stat().st_ino
        locks = locks_path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return ok(subject, "none has run with this spool")
    except OSError as error:
        return warn(subject, f"cannot tell: {error}", "run this as the agent's user")
    holder = lock_holder(locks, inode)
    if holder is None:
        return ok(subject, "none runs with this spool now")
    return ok(subject, f"process {holder} runs with this spool; a second one would not start")


def lock_holder(locks: str, inode: int) -> int | None:
    """Return the process that holds a lock on a file, from the text of /proc/locks. Pure.

    A line is `1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF`; one that waits has `->` second.
    """
    for line in locks.splitlines():
        words = line.split()
        if len(words) < 8 or words[1] != "FLOCK" or not words[4].lstrip("-").isdigit():
            continue
        if words[5].rpartition(":")[2] == str(inode):
            return int(words[4])
    return None


def check_clock(ask: Callable[[], ClockSync]) -> Finding:
    """Say whether the clock can be trusted: readings are stamped with it."""
    step = "run chrony or systemd-timesyncd; readings carry this clock's time"
    try:
        sync = ask()
    except OSError as error:
        return warn("clock", f"the kernel does not say: {error.strerror}", "run it unconfined")
    if not sync.synchronised:
        return warn("clock", "is not synchronised by anybody", step)
    error_ms = sync.error_max_us / 1000
    if sync.error_max_us > CLOCK_ERROR_MAX_US:
        return warn("clock", f"is synchronised, and may be {error_ms:.0f} ms off", step)
    return ok("clock", f"synchronised, at most {error_ms:.0f} ms off")
