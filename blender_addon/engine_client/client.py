"""Talks HTTP to a running engine: photos up, progress, avatars and frames down. Every call waits for its answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import requests
from urllib3.exceptions import HTTPError

from .. import plain_json
from ..errors import AddonError
from .address import check_url, is_loopback
from .messages import (
    MAX_PHOTOS,
    EngineLost,
    JobOptions,
    JobStatus,
    LiveSettings,
    LiveStatus,
    LiveWish,
    PhotoVerdict,
    PreviewFrame,
    PreviewRequest,
    not_understood,
    read_answer,
    refusal,
)
from .upload import Upload, unique_names

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0  # the engine answers small questions at once, but shares its cores with a running job
COMPANIONS = ("flame_param.npz",)  # names of files that belong to another one beside them
TRANSFER_SECONDS = 600.0  # photos up, avatars down
MAX_ANSWER = 1 << 30  # bytes; an avatar has at most 600 MB
_SMALL = 1 << 10
_CHUNK = 1 << 18  # bytes per read


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
        return read_answer(PhotoVerdict, self._json("POST", "/photos/check", body, TRANSFER_SECONDS))

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

    def create_speech(
        self, voice: Path, text: str, seed: int, liveliness: float, is_cancelled: Callable[[], bool] = lambda: False
    ) -> str:
        """Sends a voice and queues the motion of lips for it.

        Args:
            text: what is said, or "". seed: of blinks and small motion. liveliness: how much of them, 0..1.

        Returns:
            The job's id.

        Raises:
            AddonError: the sound cannot be read; cancelled on the way.
        """
        form = [("text", text), ("seed", str(seed)), ("liveliness", str(liveliness))]
        body = Upload(form, [("voice", voice.name, voice)], is_cancelled)
        return str(self._json("POST", "/voices", body, TRANSFER_SECONDS)["id"])

    def create_pose(self, photo: Path, is_cancelled: Callable[[], bool] = lambda: False) -> str:
        """Sends a photo and queues the reading of its expression; returns the job's id. Raises as the others do."""
        body = Upload([], [("photo", photo.name, photo)], is_cancelled)
        return str(self._json("POST", "/poses", body, TRANSFER_SECONDS)["id"])

    def take(self, job_id: str) -> bytes:
        """The finished take, as CSV."""
        return self._request("GET", f"/jobs/{job_id}/take", seconds=TRANSFER_SECONDS)[0]

    def job(self, job_id: str) -> JobStatus:
        return read_answer(JobStatus, self._json("GET", f"/jobs/{job_id}"))

    def cancel(self, job_id: str) -> None:
        """Cancels a job, or forgets a finished one."""
        self._request("DELETE", f"/jobs/{job_id}")

    def avatar(self, job_id: str) -> bytes:
        """The finished job's avatar file."""
        return self._request("GET", f"/jobs/{job_id}/avatar", seconds=TRANSFER_SECONDS)[0]

    def put_head(self, head_id: str, avatar: bytes) -> None:
        """Makes an avatar resident for previews and exports. ``head_id``: 1 to 64 letters, digits, _ and -."""
        self._request("PUT", f"/heads/{head_id}", avatar, "application/octet-stream", TRANSFER_SECONDS)

    def import_file(self, path: Path) -> bytes:
        """Another program's file, with what belongs to it and lies beside it, as an avatar file."""
        beside = [path.with_name(other) for other in COMPANIONS if path.with_name(other).is_file()]
        body = Upload([], [("files", file.name, file) for file in (path, *beside)])
        return self._request("POST", "/import", body, body.content_type, TRANSFER_SECONDS)[0]

    def bind(self, head_id: str) -> bytes:
        """Resident static splats as the avatar file of a head that moves."""
        return self._request("POST", f"/heads/{head_id}/bind", seconds=TRANSFER_SECONDS)[0]

    def preview(self, head_id: str, request: PreviewRequest) -> PreviewFrame:
        """Draws one frame of a resident head."""
        question = {item.name: getattr(request, item.name) for item in fields(request)}
        body, headers = self._request("POST", f"/heads/{head_id}/preview", json.dumps(question), "application/json")
        try:
            pixels = np.frombuffer(body, np.uint8).reshape(request.height, request.width, 4)
            return PreviewFrame(pixels, int(headers["X-Sequence"]), float(headers["X-Milliseconds"]))
        except (ValueError, KeyError) as error:
            raise not_understood(error) from error

    def export(
        self, head_id: str, kind: str, expression: dict[str, float], joint_rotations: dict[str, tuple[float, ...]]
    ) -> bytes:
        """A resident head in one pose as the bytes of a ``ply`` or ``splat`` file."""
        question = {"format": kind, "expression": expression, "joint_rotations": joint_rotations}
        return self._request(
            "POST", f"/heads/{head_id}/export", json.dumps(question), "application/json", TRANSFER_SECONDS
        )[0]

    def bake(self, head_id: str, size: int) -> bytes:
        """A resident head's pictures of ``size`` texels a side, and cards for its hair, as a zip archive."""
        path = f"/heads/{head_id}/bake"
        return self._request("POST", path, json.dumps({"size": size}), "application/json", TRANSFER_SECONDS)[0]

    def start_live(self, wish: LiveWish) -> LiveStatus:
        """Opens a live source, in the place of the one before."""
        body, _ = self._request("POST", "/live", json.dumps(asdict(wish)), "application/json", TRANSFER_SECONDS)
        return read_answer(LiveStatus, self._object(body))

    def stop_live(self) -> None:
        self._request("DELETE", "/live")

    def live(self, after: int, seconds: float) -> LiveStatus:
        """The newest sample, as soon as there is one newer than ``after``, at the latest after so many seconds."""
        return read_answer(LiveStatus, self._json("GET", f"/live?after={after}&seconds={seconds:g}"))

    def set_live(self, settings: LiveSettings) -> None:
        self._request("PUT", "/live/settings", json.dumps(asdict(settings)), "application/json")

    def live_neutral(self) -> dict[str, Any]:
        """Takes what the face does now for resting; that, as :attr:`LiveSettings.neutral`."""
        return self._json("POST", "/live/neutral")

    def record_live(self) -> None:
        """Begins a recording."""
        self._request("POST", "/live/recording")

    def finish_live(self) -> tuple[bytes, str]:
        """Ends the recording: the take as CSV, and its name of subject and time code."""
        body, headers = self._request("POST", "/live/recording/take", seconds=TRANSFER_SECONDS)
        return body, headers.get("X-Take", "live")

    def linear(self, head_id: str) -> np.ndarray:
        """[N, 4] float32: a resident head's sRGB colours and opacities for programs that blend in linear light."""
        body, _ = self._request("POST", f"/heads/{head_id}/linear", seconds=TRANSFER_SECONDS)
        try:
            return np.frombuffer(body, "<f4").reshape(-1, 4)
        except ValueError as error:
            raise not_understood(error) from error

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
        return self._object(self._request(method, path, body, body.content_type if body else None, seconds)[0])

    @staticmethod
    def _object(answer: bytes) -> dict[str, Any]:
        try:
            value = plain_json.parse(answer.decode("utf-8"))
        except ValueError as error:
            raise not_understood(error) from error
        if not isinstance(value, dict):
            raise not_understood(TypeError("no object"))
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
            raise refusal(response.status_code, bytes(content))
        return bytes(content), response.headers


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """An answer's body as it arrives, at most ``_CHUNK`` bytes at a time; urllib3 before 2.2 waits for whole ones."""
    read = getattr(response.raw, "read1", None) or (lambda size: response.raw.read(min(size, _SMALL)))
    while piece := read(_CHUNK):
        yield piece
