"""Secrets from files, so that they need not stand in the environment of a process: what ``<variable>_FILE`` names.

Read once, at the start; a program is started again when a secret changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What is put behind a variable's name to give the path of a file in place of its value.
SUFFIX = "_FILE"


class SecretFileError(ValueError):
    """The file can't be read, or the secret is given twice; the message names the variable and never the secret."""


def read_secret(variable: str, environment: Mapping[str, str]) -> str | None:
    """Read the secret of a variable from the file that ``<variable>_FILE`` names; ``None``: it names none.

    Blank space around the text is no part of it: editors and ``echo`` end files with a line feed.

    :raises SecretFileError: there is no such file, it is no text, or ``variable`` is set as well.
    """
    name = f"{variable}{SUFFIX}"
    path = environment.get(name)
    if not path:
        return None
    if environment.get(variable):
        raise SecretFileError(f"{variable} and {name} are both set: keep one")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SecretFileError(f"{name}={path!r}: {reason}") from None


def with_passwords(url: str, password: str, sentinel_password: str) -> str:
    """Write passwords into a store's address, so that they may hold any character; an empty one changes nothing."""
    parts = urlsplit(url)
    if password:
        credentials, _, hosts = parts.netloc.rpartition("@")
        user = credentials.partition(":")[0]
        parts = parts._replace(netloc=f"{user}:{quote(password, safe='')}@{hosts}")
    if sentinel_password:
        more = f"sentinel_password={quote(sentinel_password, safe='')}"
        parts = parts._replace(query=f"{parts.query}&{more}" if parts.query else more)
    return parts.geturl()
