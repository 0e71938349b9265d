"""Talks HTTP to a running engine: photos up, progress, avatars and frames down. Every call waits for its answer."""

from __future__ import annotations

import ipaddress
import json
import mimetypes
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import requests
from urllib3.exceptions import HTTPError

from .. import plain_json
from ..errors import AddonError
from ..files import unreadable

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0  # the engine answers small questions at once, but shares its cores with a running job
TRANSFER_SECONDS = 600.0  # photos up, avatars down
MAX_ANSWER = 1 << 30  # bytes; an avatar has at most 600 MB
MAX_PHOTOS = 64
SURFACE = "surface"  # the one system that is no network
DEFAULT_HEAD = "makehuman"
_SMALL = 1 << 10
_CHUNK = 1 << 18  # bytes per read, so that a cancelled upload ends at once

T = TypeVar("T")


class EngineLost(AddonError):
    """The engine does not answer: it died, was never there, or is unreachable."""


class EngineRefusal(AddonError):
    """The engine answered with an error of its own.

    Attributes:
        kind: the engine's name of the error, for example ``PhotoError`` or ``Superseded``.
        status: the HTTP status.
    """

    def __init__(self, message: str, hint: str, kind: str, status: int):
        super().__init__(message, hint)
        self.kind = kind
        self.status = status


@dataclass(frozen=True)
class PhotoVerdict:
    """What the engine says of one photo; angles in degrees, None where no face was found."""

    name: str
    usable: bool
    message: str
    warnings: list[str] = field(default_factory=list)
    yaw: float | None = None
    pitch: float | None = None
    faces: int = 0


@dataclass(frozen=True)
class JobOptions:
    """How to reconstruct.

    Attributes:
        system: one of the engine's, see :meth:`Client.health`.
        head: ``makehuman``, or the path of a FLAME file on the engine's machine.
        quality: ``draft``, ``normal`` or ``high``: how long the Gaussians are fitted to the photos, and how many.
        refine_seconds: the most that the fitting may take for one photo; 0 skips it, None lets it end.
        count: Gaussians on the surface instead of the quality's; networks have their own number.
        frames: frames taken from each clip.

    Raises:
        AddonError: a network and a FLAME file.
    """

    system: str = SURFACE
    head: str = DEFAULT_HEAD
    quality: str = "normal"
    refine_seconds: float | None = None
    count: int | None = None
    frames: int = 4

    def __post_init__(self) -> None:
        if self.system != SURFACE and self.head != DEFAULT_HEAD:
            raise AddonError(
                f"The system {self.system} is a network that only knows the default head.",
                "Choose the default head, or the system surface.",
            )


@dataclass(frozen=True)
class JobStatus:
    """Where a job stands; ``fraction`` is 0..1 of the whole, ``eta_s`` seconds that are left or None if unknown."""

    id: str
    name: str
    state: str
    stage: str
    stage_index: int
    stage_count: int
    fraction: float
    eta_s: float | None
    seconds: dict[str, float]
    set_aside: list[dict[str, str]]
    warnings: list[str]
    photos: list[str]
    error: dict[str, str] | None


@dataclass(frozen=True)
class PreviewRequest:
    """One frame to draw. All axes are the engine's.

    Attributes:
        viewmat: [4, 4] world to camera, OpenCV.
        K: [3, 3] pixels; with ``ortho``, fx and fy are pixels per metre.
        width, height: pixels, at most 4096.
        sequence: rises with every request; a newer one makes older waiting ones fail as ``Superseded``.
    """

    viewmat: Sequence[Sequence[float]]
    K: Sequence[Sequence[float]]
    width: int
    height: int
    sequence: int
    ortho: bool = False
    expression: dict[str, float] = field(default_factory=dict)
    joint_rotations: dict[str, tuple[float, float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Frame:
    """Pixels uint8 [H, W, 4], premultiplied sRGB, top row first; ``milliseconds`` the engine spent."""

    pixels: np.ndarray
    sequence: int
    milliseconds: float


def is_loopback(url: str) -> bool:
    """True where the address is this computer's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_url(url: str) -> str:
    """An engine's address without a slash at its end.

    Raises:
        AddonError: not an address, or unencrypted to another computer, where the token could be read on the way.
    """
    hint = "Write it as http://127.0.0.1:PORT in the preferences, or as https://HOST:PORT for another computer."
    try:
        parts = urlsplit(url.strip())
        complete = bool(parts.hostname) and parts.port is not None or parts.scheme == "https" and bool(parts.hostname)
    except ValueError:
        complete = False
    if not complete or parts.scheme not in ("http", "https") or parts.query or parts.fragment or parts.username:
        raise AddonError(f"{url} is not the address of an engine.", hint)
    if parts.scheme == "http" and not is_loopback(url):
        raise AddonError(f"{url} would send photos and the token unencrypted to another computer.", hint)
    return url.strip().rstrip("/")


class Client:
    """One engine's address and token; may be shared between threads.

    Every method raises :class:`EngineLost` where nobody answers and :class:`EngineRefusal` with the engine's own
    message and hint where it refuses.
    """

    def __init__(self, url: str, token: str):
        self.url = check_url(url)
        self._token = token
        self._local = threading.local()

    def health(self) -> dict[str, Any]:
        """Versions, device, systems and head models of the engine."""
        return self._json("GET", "/health")

    def check_photo(self, path: Path) -> PhotoVerdict:
        """Looks for a face; a photo without one is an answer, not an error."""
        body = Upload([], [("photo", path.name, path)])
        return _parse(PhotoVerdict, self._json("POST", "/photos/check", body, TRANSFER_SECONDS))

    def create_job(
        self, paths: Sequence[Path], name: str, options: JobOptions, is_cancelled: Callable[[], bool] = lambda: False
    ) -> str:
        """Sends the photos and queues a reconstruction.

        Returns:
            The job's id.

        Raises:
            AddonError: a photo cannot be read; too many photos; cancelled on the way.
        """
        if not 1 <= len(paths) <= MAX_PHOTOS:
            raise AddonError(f"{len(paths)} photos were given.", f"Choose 1 to {MAX_PHOTOS} photos or clips.")
        form = [("name", name)] + [(key, str(value)) for key, value in asdict(options).items() if value is not None]
        photos = [("photos", label, path) for label, path in zip(unique_names(paths), paths, strict=True)]
        return str(self._json("POST", "/jobs", Upload(form, photos, is_cancelled), TRANSFER_SECONDS)["id"])

    def create_performance(
        self, clip: Path, smoothing: float, neutral: bool, is_cancelled: Callable[[], bool] = lambda: False
    ) -> str:
        """Sends an actor's clip and queues the reading of the performance in it.

        Args:
            smoothing: 0..1. neutral: whether the actor's resting face is taken out.

        Returns:
            The job's id.

        Raises:
            AddonError: the clip cannot be read; cancelled on the way.
        """
        form = [("smoothing", str(smoothing)), ("neutral", str(neutral).lower())]
        body = Upload(form, [("clip", clip.name, clip)], is_cancelled)
        return str(self._json("POST", "/performances", body, TRANSFER_SECONDS)["id"])

    def take(self, job_id: str) -> bytes:
        """The finished performance, as CSV."""
        return self._request("GET", f"/jobs/{job_id}/take", seconds=TRANSFER_SECONDS)[0]

    def job(self, job_id: str) -> JobStatus:
        return _parse(JobStatus, self._json("GET", f"/jobs/{job_id}"))

    def cancel(self, job_id: str) -> None:
        """Cancels a job, or forgets a finished one."""
        self._request("DELETE", f"/jobs/{job_id}")

    def avatar(self, job_id: str) -> bytes:
        """The finished job's avatar file."""
        return self._request("GET", f"/jobs/{job_id}/avatar", seconds=TRANSFER_SECONDS)[0]

    def put_head(self, head_id: str, avatar: bytes) -> None:
        """Makes an avatar resident for previews and exports. ``head_id``: 1 to 64 letters, digits, _ and -."""
        self._request("PUT", f"/heads/{head_id}", avatar, "application/octet-stream", TRANSFER_SECONDS)

    def preview(self, head_id: str, request: PreviewRequest) -> Frame:
        """Draws one frame of a resident head."""
        wish = {item.name: getattr(request, item.name) for item in fields(request)}
        body, headers = self._request("POST", f"/heads/{head_id}/preview", json.dumps(wish), "application/json")
        try:
            pixels = np.frombuffer(body, np.uint8).reshape(request.height, request.width, 4)
            return Frame(pixels, int(headers["X-Sequence"]), float(headers["X-Milliseconds"]))
        except (ValueError, KeyError) as error:
            raise _not_understood(error) from error

    def export(
        self, head_id: str, kind: str, expression: dict[str, float], joint_rotations: dict[str, tuple[float, ...]]
    ) -> bytes:
        """A resident head in one pose as the bytes of a ``ply`` or ``splat`` file."""
        wish = {"format": kind, "expression": expression, "joint_rotations": joint_rotations}
        return self._request(
            "POST", f"/heads/{head_id}/export", json.dumps(wish), "application/json", TRANSFER_SECONDS
        )[0]

    def _session(self) -> requests.Session:
        """A session of the calling thread's own: requests does not promise that sessions can be shared."""
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.trust_env = not is_loopback(self.url)  # a proxy must never see this computer's own traffic
            session.auth = self._authorize  # set here, or a .netrc would replace it
        return session

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _json(
        self, method: str, path: str, body: Upload | None = None, seconds: float = ANSWER_SECONDS
    ) -> dict[str, Any]:
        answer, _ = self._request(method, path, body, body.content_type if body else None, seconds)
        try:
            value = plain_json.parse(answer.decode("utf-8"))
        except ValueError as error:
            raise _not_understood(error) from error
        if not isinstance(value, dict):
            raise _not_understood(TypeError("no object"))
        return value

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | str | Upload | None = None,
        content_type: str | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> tuple[bytes, Any]:
        """The answer's body and headers."""
        headers = {"Content-Type": content_type} if content_type else {}
        try:
            with self._session().request(
                method,
                self.url + path,
                data=body,  # type: ignore[arg-type]
                headers=headers,
                timeout=(CONNECT_SECONDS, seconds),
                allow_redirects=False,
                stream=True,
            ) as response:
                content, until = bytearray(), time.monotonic() + seconds
                for piece in _pieces(response):
                    content += piece
                    if len(content) > MAX_ANSWER:
                        raise AddonError("The engine's answer is larger than 1 GB.", "Restart the engine.")
                    if time.monotonic() > until:  # the timeout above is only for each piece
                        raise requests.Timeout("The answer drips in.")
        except (requests.RequestException, HTTPError) as error:
            raise EngineLost(
                f"The engine at {self.url} does not answer ({type(error).__name__}).",
                "Restart it in the Engine panel and try again.",
            ) from error
        if not response.ok:
            raise _refusal(response.status_code, bytes(content))
        return bytes(content), response.headers


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """An answer's body as it arrives, at most ``_CHUNK`` bytes at a time; urllib3 before 2.2 waits for whole ones."""
    read = getattr(response.raw, "read1", None) or (lambda size: response.raw.read(min(size, _SMALL)))
    while piece := read(_CHUNK):
        yield piece


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


def _parse(kind: type[T], body: dict[str, Any]) -> T:
    """A frozen dataclass from the engine's answer; entries that a newer engine adds are left out."""
    try:
        return kind(**{item.name: body[item.name] for item in fields(kind) if item.name in body})  # type: ignore[arg-type]
    except TypeError as error:
        raise _not_understood(error) from error


def _refusal(status: int, content: bytes) -> AddonError:
    try:
        error = plain_json.parse(content.decode("utf-8"))["error"]
        return EngineRefusal(str(error["message"]), str(error["hint"]), str(error["type"]), status)
    except (ValueError, KeyError, TypeError):
        return EngineRefusal(f"The engine answered with status {status}.", "Open its log.", "Unknown", status)


def _not_understood(error: Exception) -> AddonError:
    return AddonError(
        f"The engine's answer is not understood ({error}).", "Use the engine that belongs to this extension."
    )


def _unreadable(path: Path, error: OSError) -> AddonError:
    return unreadable(path, error, "Remove it from the list, or add it again.")
