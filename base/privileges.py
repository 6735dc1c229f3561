"""Who this process is. Started as root, each command becomes the user of the settings before it does anything.

What it starts is that user's, too: Asterisk, Redis, the controller, the recorder and the screens. A home that
belonged to root is given to that user once, as a whole.
"""

import contextlib
import os
import pwd
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from base.settings import Settings, SettingsError


def become(settings: Settings) -> None:
    """Become `HOTLINE_USER` for good, if this is root and the setting is there. Raises `SettingsError`.

    On a medium that can only be read, such as a backup's, root stays root: there is nothing to give or to spoil.
    """
    if not settings.user or os.geteuid() != 0:
        return
    if settings.root.exists() and not os.access(settings.root, os.W_OK):
        return
    try:
        user = pwd.getpwnam(settings.user)
    except KeyError:
        raise SettingsError(
            f"HOTLINE_USER: there is no user {settings.user!r} on this machine: "
            f"`useradd --system --shell /usr/sbin/nologin {settings.user}` makes one"
        ) from None
    if user.pw_uid == 0:
        raise SettingsError(
            "HOTLINE_USER: root is no unprivileged user: name another, or leave it empty"
        )
    config = Path(os.environ.get("HOTLINE_CONFIG", "hotline.toml")).absolute()
    needed = [config] if config.exists() else []
    try:
        _give(settings, user)
    except OSError as error:
        raise SettingsError(
            f"HOTLINE_HOME: {error.filename or settings.root} cannot be given to the user {user.pw_name}: "
            f"{error.strerror}"
        ) from None
    # Before everything else: the groups may be changed by root only.
    os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    os.environ["HOME"] = str(settings.root)
    _look_around(settings, needed)


def _give(settings: Settings, user: pwd.struct_passwd) -> None:
    """Make the home this user's, unless it is already. The folder itself comes last: a second try does the rest."""
    root = settings.root
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.lstat().st_uid == user.pw_uid:
        return
    entries = list(root.iterdir())
    known = any((root / name).is_file() for name in ("hotline.db", "secrets/ami", "secrets/agi"))
    if entries and not known:
        raise SettingsError(
            f"HOTLINE_HOME: {root} belongs to somebody else, and it is no home of a hotline: "
            f"choose another folder, or run `chown -R {user.pw_name}: {root}`"
        )
    if names := sorted(_runs_as_another(settings, user)):
        raise SettingsError(
            f"HOTLINE_USER: {', '.join(names)} of this home runs as another user: stop `hotline up` when no call goes "
            "on, and start it again"
        )
    # A socket's folder lies elsewhere if the home's path is long.
    sockets = settings.redis_socket.parent
    if sockets.is_dir() and not sockets.is_symlink() and sockets.lstat().st_uid == 0:
        _chown_below(sockets, user)
    _chown_below(root, user)


def _chown_below(folder: Path, user: pwd.struct_passwd) -> None:
    """Give a folder and what lies in it; links are given, not followed."""
    for at, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):
                os.chown(Path(at) / name, user.pw_uid, user.pw_gid, follow_symlinks=False)
    os.chown(folder, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _runs_as_another(settings: Settings, user: pwd.struct_passwd) -> Iterator[str]:
    for file in settings.run_dir.glob("hotline-*.pid"):
        with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
            process = psutil.Process(int(file.read_text().split()[0]))
            ours = re.search(r"asterisk|redis|hotline", " ".join(process.cmdline()))
            if ours and process.uids().real != user.pw_uid:
                yield file.stem.removeprefix("hotline-")


def _look_around(settings: Settings, needed: list[Path]) -> None:
    """Whether the user can use what every process of ours needs. Raises `SettingsError`."""
    for path, mode, what in (
        (Path(sys.executable), os.X_OK, "run"),
        (Path(__file__), os.R_OK, "read"),
        (settings.root, os.W_OK | os.X_OK, "write to"),
        *((path, os.R_OK, "read") for path in needed),
    ):
        if not os.access(path, mode):
            raise SettingsError(
                f"HOTLINE_USER: the user {settings.user} may not {what} {path}: give them the right, "
                "or install it where they can (such as /opt and /var/lib/hotline)"
            )
    if not os.access(".", os.X_OK):
        os.chdir(settings.root)
