"""Becomes another program that ends when its parent ends, and that is neither root nor nameless.

Run by path in a bare interpreter: `python -I -S launch.py PARENT SIGNAL FOLDER COMMAND...`. Doing this in a program of
its own, and not between fork and exec, keeps it safe whatever threads the parent has, and costs 15 ms.

PARENT is the parent's process id; SIGNAL the number it sends this process as it dies (Linux only). FOLDER, when not
empty, belongs to a server that refuses to run as root, or as a user that the system has no name for (a container's
arbitrary one). It is then started in a user namespace in which this user has the number of `nobody`: files stay as they
are. Where namespaces are forbidden (Docker's default), root becomes `nobody`, keeps the right to open root's files, and
FOLDER is given to it.
"""

import ctypes
import os
import pwd
import sys

NOBODY = 65534
CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
CAPABILITY_VERSION = 0x20080522
CAP_DAC_OVERRIDE = 1  # open files whatever their owner


def main(arguments: list[str]) -> None:
    """Replace this process; exits with a message when that is impossible."""
    parent, signal_number, folder, *command = arguments
    if folder and (os.geteuid() == 0 or not _has_name(os.geteuid())):
        _change_user(folder)
    if sys.platform == "linux":
        # Last, because a change of user clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit("the parent ended first")
    os.execv(command[0], command)  # noqa: S606 - becoming that program is the point


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def _change_user(folder: str) -> None:
    user, group = os.geteuid(), os.getegid()
    if sys.platform != "linux":
        sys.exit("Postgres does not run as root here: start as another user, or set DATABASE_URL")
    libc = ctypes.CDLL(None, use_errno=True)
    if _namespaces_allowed(libc):
        if user == 0:
            _give(folder, 0)
        libc.unshare(CLONE_NEWUSER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{NOBODY} {user} 1")
        _write("/proc/self/gid_map", f"{NOBODY} {group} 1")
    elif user == 0:
        _give(folder, NOBODY)
        _become_nobody(libc)


def _namespaces_allowed(libc: ctypes.CDLL) -> bool:
    """Tried in a child, because there is no way back out, and owners cannot be changed from inside."""
    child = os.fork()
    if child == 0:
        os._exit(libc.unshare(CLONE_NEWUSER) != 0)
    return os.waitpid(child, 0)[1] == 0


def _become_nobody(libc: ctypes.CDLL) -> None:
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    bit = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable
    kept = libc.capset(header, sets) == 0
    if not kept or libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0) != 0:
        sys.exit("Postgres does not run as root, and this container forbids a change of user: set DATABASE_URL")


def _give(folder: str, owner: int) -> None:
    if not os.path.isdir(folder) or os.stat(folder).st_uid == owner:
        return
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            os.lchown(os.path.join(place, name), owner, owner)
        os.lchown(place, owner, owner)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
