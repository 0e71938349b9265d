"""Uploads of files, read while they are sent."""

from __future__ import annotations

import mimetypes
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import AddonError
from ..files import unreadable

_CHUNK = 1 << 18  # bytes per read, so that a cancelled upload ends at once


class Upload:
    """A multipart body read from the files while it is sent, so that clips never lie in memory."""

    def __init__(
        self,
        form: Iterable[tuple[str, str]],
        files: Sequence[tuple[str, str, Path]],
        is_cancelled: Callable[[], bool] = lambda: False,
    ):
        """
        Args:
            form: names and values.
            files: field name, file name as the engine shall report it, and path of each file.
            is_cancelled: asked before every piece that is sent.
        """
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._is_cancelled = is_cancelled
        self._parts: list[tuple[bytes, Path | None, int]] = []
        for name, value in form:
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            self._parts.append((head.encode(), None, 0))
        for name, label, path in files:
            kind = mimetypes.guess_type(label)[0] or "application/octet-stream"
            quoted = label.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
            head = (
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{quoted}"\r\n'
                f"Content-Type: {kind}\r\n\r\n"
            )
            try:
                size = path.stat().st_size
            except OSError as error:
                raise _unreadable(path, error) from error
            self._parts += [(head.encode(errors="replace"), path, size), (b"\r\n", None, 0)]
        self._parts.append((f"--{boundary}--\r\n".encode(), None, 0))

    def __len__(self) -> int:
        return sum(len(head) + size for head, _, size in self._parts)

    def __iter__(self) -> Iterator[bytes]:
        for head, path, size in self._parts:
            yield head
            if path is not None:
                yield from self._file(path, size)

    def _file(self, path: Path, size: int) -> Iterator[bytes]:
        try:
            with path.open("rb") as file:
                while size:
                    if self._is_cancelled():
                        raise AddonError("Cancelled.", "Nothing was sent.")
                    chunk = file.read(min(size, _CHUNK))
                    if not chunk:
                        raise AddonError(f"{path.name} became shorter while it was sent.", "Add the photo again.")
                    size -= len(chunk)
                    yield chunk
        except OSError as error:
            raise _unreadable(path, error) from error


def unique_names(paths: Sequence[Path]) -> list[str]:
    """File names as the engine reports them: of equal ones, the later get a number."""
    taken: set[str] = set()
    names = []
    for path in paths:
        name, number = path.name, 1
        while name in taken:
            number += 1
            name = f"{path.stem} ({number}){path.suffix}"
        taken.add(name)
        names.append(name)
    return names


def _unreadable(path: Path, error: OSError) -> AddonError:
    return unreadable(path, error, "Remove it from the list, or add it again.")
