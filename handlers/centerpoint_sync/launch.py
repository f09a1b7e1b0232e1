"""Becomes a script's engine: tied to the life of its worker, limited in memory, and confined to its files.

Run by path in a bare interpreter: `python -I -S launch.py PARENT DATA_BYTES READS READ... WRITES WRITE... COMMAND...`.
Doing this in a program of its own, and not between fork and exec, keeps it safe whatever threads the worker has. It
costs 10 ms, half of it for what is imported here: that is why the bounds are no JSON.

PARENT is the worker's process id, with whose death the kernel kills the engine; DATA_BYTES the most private memory that
can be written to, buffers outside of the JavaScript heap included; READ and WRITE, after their numbers, the paths that
the kernel (Landlock, from Linux 5.13 on) lets it open. Where a system has one of these not, the rest holds.
"""

import ctypes
import os
import resource
import stat
import sys

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
SIGKILL = 9
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION, PATH_BENEATH = 1, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
TRUNCATE = 1 << 14
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
READ = EXECUTE | READ_FILE | READ_DIR
ALL_BY_VERSION = (0, (1 << 13) - 1, (1 << 14) - 1, (1 << 15) - 1)
"""What files can be done with, as the versions of Landlock know it; one more right since then is of no use here."""
NO_SIGNALS_OUT = 3
"""Neither signals nor abstract sockets reach a process outside, from version 6 on."""

SYSTEM = (
    # Libraries, and what finding a host takes. Neither /proc, where other processes show themselves, nor all of /etc.
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/nix/store", "/gnu/store", "/etc/ld.so.cache"),
    *("/usr/share/zoneinfo", "/usr/share/ca-certificates", "/etc/localtime", "/etc/ssl", "/etc/pki/tls"),
    *("/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services"),
    *("/proc/self", "/proc/meminfo", "/sys/fs/cgroup", "/sys/devices/system/cpu", "/dev/urandom", "/dev/random"),
)


def main(arguments: list[str]) -> None:
    """Replace this process; exits with a message when that is impossible."""
    parent, data_bytes, *rest = arguments
    read, rest = _counted(rest)
    write, command = _counted(rest)
    _limit(resource.RLIMIT_CORE, 0)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit("the worker ended first")
        _limit(resource.RLIMIT_DATA, int(data_bytes))
        libraries = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(command[0]))), "lib")
        _confine(libc, [*SYSTEM, command[0], libraries, *read], write)
    os.execv(command[0], command)  # noqa: S606 - becoming that program is the point


def _counted(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Take a number and so many arguments from the beginning; return them and the rest."""
    end = 1 + int(arguments[0])
    return arguments[1:end], arguments[end:]


def _limit(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _confine(libc: ctypes.CDLL, read: list[str], write: list[str]) -> None:
    version = libc.syscall(CREATE_RULESET, None, 0, VERSION)
    if version < 1:
        return  # a kernel without it, or one in which it is off
    every = ALL_BY_VERSION[min(version, len(ALL_BY_VERSION) - 1)]
    handled = (ctypes.c_uint64 * 3)(every, 0, NO_SIGNALS_OUT if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules = libc.syscall(CREATE_RULESET, handled, size, 0)
    for path in read:
        _allow(libc, rules, path, READ)
    for path in write:
        _allow(libc, rules, path, every)
    _allow(libc, rules, "/dev/null", every)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.syscall(RESTRICT_SELF, rules, 0) != 0:
        sys.exit(f"the files of the script cannot be confined: {os.strerror(ctypes.get_errno())}")
    os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    """A path that is not there needs no right."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not stat.S_ISDIR(os.fstat(place).st_mode):
        rights &= OF_FILES
    rule = rights.to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder)
    libc.syscall(ADD_RULE, rules, PATH_BENEATH, rule, 0)
    os.close(place)


if __name__ == "__main__":
    main(sys.argv[1:])
