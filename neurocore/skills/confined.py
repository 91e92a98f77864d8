"""Write files whose names come from data: whole or not at all, and only below one folder.

Every part of a path is opened separately without following links, so that no link in the folder, not even one created
meanwhile, leads out of it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from neurocore import log
from neurocore.errors import SkillError
from neurocore.readable import unsafe

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_below(root: Path, folder: str | None, template: str, name: str, text: str, *, what: str) -> str:
    """Write or replace a file of the project at `root`, whole or not at all; return its path from there.

    `name` is the result of `template`, and may contain anything that data contains. The file is below `folder`; without
    one, below the folder that `template` names before its first tag. Errors mention `what`. Raises SkillError.
    """
    root = root.resolve()
    if folder is None:
        folder, name = _split(template, name, what)
    below = root.joinpath(folder.replace("\0", "")).resolve()
    if not below.is_relative_to(root) or (below == root and "{" in template):
        raise SkillError(f"{what} writes below a folder of the project only, and {folder[:200]!r} is not one.")
    parts = name.split("/")
    if not all(map(_is_plain, parts)):
        raise SkillError(f"{what} writes below {below} only, and {_quoted(name)} is not the path of a file there.")
    try:
        with _opened(root, [*below.relative_to(root).parts, *parts[:-1]]) as descriptor:
            _put(descriptor, parts[-1], text.encode("utf-8", "surrogateescape"))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SkillError(f"{what} cannot write {_quoted(name)} below {below}: {why}.") from error
    return str(below.relative_to(root).joinpath(*parts))


def folder_problem(template: str) -> str | None:
    """Return why the template of a path names no folder to confine its files to; None if it names one."""
    literal, tag, _ = template.partition("{")
    if not tag or (all(map(_is_plain, literal.split("/")[:-1])) and "/" in literal):
        return None
    return f"{template[:200]!r} names no folder before its first tag; give one in `folder`, such as outbox."


def _split(template: str, name: str, what: str) -> tuple[str, str]:
    """Return the folder that a template names literally, and the rest of the name that it rendered."""
    literal, tag, _ = template.partition("{")
    if not tag:
        return "", name
    wrong = folder_problem(template)
    folder = literal.rpartition("/")[0]
    if wrong or not name.startswith(f"{folder}/"):
        raise SkillError(f"{what}: {wrong or f'{_quoted(name)} is not below {folder}.'}")
    return folder, name.removeprefix(f"{folder}/")


def _quoted(name: str) -> str:
    """Return a name for a sentence; secrets in it are masked before it is cut."""
    return repr(log.redacted(name)[:200])


def _is_plain(part: str) -> bool:
    """Return whether a part of a path is a plain name, also on a file system that unifies characters."""
    alike = unicodedata.normalize("NFKC", part)
    return alike not in ("", ".", "..") and not any(one in alike for one in "/\\\0\t\n") and not unsafe().search(part)


@contextlib.contextmanager
def _opened(root: Path, parts: list[str]) -> Iterator[int]:
    """Return a descriptor of the folder at `parts` below the root; missing folders are created."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=descriptor)
            inner = os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _put(folder: int, name: str, data: bytes) -> None:
    """Put a file in place at once; a reader sees the old one or the new one."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise FileExistsError(errno.EEXIST, "it exists and is not a regular file")
    draft = f".{secrets.token_hex(8)}.part"
    try:
        with os.fdopen(os.open(draft, _NEW, 0o666, dir_fd=folder), "wb") as file:
            file.write(data)
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=folder)
        raise
