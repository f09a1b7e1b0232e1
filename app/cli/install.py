"""Sets up the virtual environment of a checkout; run by ./aurea with whatever Python there is, standard library only.

Two at once wait for each other. One that is interrupted leaves a mark, and the next starts from nothing. With uv on
PATH it takes a second, with pip half a minute.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path


def main(root: Path, stamp: str) -> None:
    """Make `root`/.venv hold exactly what requirements.lock says; `stamp` is written there when that is so."""
    venv = root / ".venv"
    try:
        venv.mkdir(exist_ok=True)
        lock = (venv / "setup.lock").open("a")
    except OSError as error:
        sys.exit(f"error: {venv} cannot be written ({error.strerror}): run ./aurea once as the owner of this folder")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.set_inheritable(lock.fileno(), True)  # a pip that outlives a killed set-up still holds the lock
        done = venv / "stamp"
        if not done.exists() or done.read_text() != stamp:
            _set_up(root, venv, stamp)


def _set_up(root: Path, venv: Path, stamp: str) -> None:
    unfinished, done = venv / "unfinished", venv / "stamp"
    moved = done.exists() and done.read_text().split(" ", 2)[2:] != stamp.split(" ", 2)[2:]
    if unfinished.exists() or moved or not (venv / "bin" / "python").exists():
        _empty(venv)
    unfinished.touch()
    done.unlink(missing_ok=True)
    print(f"setting up {venv}, once; this can take a minute", file=sys.stderr, flush=True)  # noqa: T201
    uv = shutil.which("uv")
    if not (uv and _with_uv(uv, root, venv)):
        _with_pip(root, venv)
    done.write_text(stamp)
    unfinished.unlink()


def _with_uv(uv: str, root: Path, venv: Path) -> bool:
    if not (venv / "bin" / "python").exists():
        _run([sys.executable, "-m", "venv", "--without-pip", str(venv)], root)
    install = [uv, "pip", "install", "--quiet", "--python", str(venv / "bin" / "python")]
    return _tried([*install, "--require-hashes", "-r", "requirements.lock"], root) and _tried(
        [*install, "--no-deps", "-e", "."], root
    )


def _with_pip(root: Path, venv: Path) -> None:
    _run([sys.executable, "-m", "venv", str(venv)], root)
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
    _run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", "requirements.lock"], root)
    _run([*pip, "--no-deps", "-e", "."], root)  # apart, because what is here has no hash


def _run(command: list[str], root: Path) -> None:
    if not _tried(command, root):
        sys.exit(
            f"error: this failed: {' '.join(command)}\n"
            "  Its reason stands above. The first set-up needs the network, and Debian's Python needs python3-venv."
        )


def _tried(command: list[str], root: Path) -> bool:
    return subprocess.run(command, cwd=root, check=False, close_fds=False).returncode == 0  # noqa: S603 - a command of ours, no shell


def _empty(venv: Path) -> None:
    for entry in venv.iterdir():
        if entry.name in ("setup.lock", "unfinished"):
            continue  # held, and the mark that this is not done
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
