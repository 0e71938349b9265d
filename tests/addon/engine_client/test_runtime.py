"""The engine's packages come out of the extension once, whole, privately, whatever happens meanwhile."""

import importlib
import json
import os
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.standins import edit_lock, make_extension, make_wheel

# So many that unpacking takes a moment; Windows is slower with small files.
MANY = {f"many/part{i:04}.py": os.urandom(2000) for i in range(400 if os.name == "nt" else 1500)}
FEW = 60  # of them are enough where it does not matter how long unpacking takes
for_long = pytest.mark.parametrize("parts", [len(MANY)], indirect=True)
BIG = {"big/__init__.py": b"", "big/weights.bin": os.urandom(20_000_000)}
SMALL = {
    "small.py": b"import big\nANSWER = 42\n",
    "small-1.0.data/scripts/small-tool": b"#!python\nprint('hello')\n",
    "small-1.0.data/data/share/notes.txt": b"notes",
    "small-1.0.dist-info/entry_points.txt": b"[console_scripts]\nsmall = small:main\n",
}


@pytest.fixture
def runtime(addon):
    return importlib.import_module(f"{addon}.engine_client.runtime")


@pytest.fixture
def failure(addon):
    return importlib.import_module(f"{addon}.errors").AddonError


@pytest.fixture(scope="module")
def parts(request) -> int:
    return getattr(request, "param", FEW)


@pytest.fixture(scope="module")
def wheel_files(tmp_path_factory, parts) -> list[Path]:
    folder = tmp_path_factory.mktemp("wheels")
    many = dict(list(MANY.items())[:parts])
    return [make_wheel(folder, name, files) for name, files in {"big": BIG, "many": many, "small": SMALL}.items()]


@pytest.fixture
def extension(tmp_path, wheel_files) -> Path:
    return make_extension(tmp_path / "extension", wheel_files)


@pytest.fixture
def user(tmp_path) -> Path:
    return tmp_path / "user folder"


@pytest.fixture
def start(runtime, extension, user):
    """Starts the unpacking process as another Blender would; all are gone afterwards."""
    started = []

    def start() -> subprocess.Popen:
        command = [sys.executable, "-I", runtime.unpack.__file__, str(extension), str(user)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.stdout.close()
        process.wait()


def site_of(found) -> Path:
    return Path(found.environment["PYTHONPATH"].split(os.pathsep)[0])


def assert_complete(site: Path, wheel_files: list[Path]) -> None:
    """Every module is, byte for byte, what the standard library's zipfile finds in the wheels."""
    for path in wheel_files:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if ".data/" not in name and not name.endswith("/RECORD"):
                    assert (site / name).read_bytes() == archive.read(name), name


def test_the_first_start_unpacks_and_the_second_finds_everything(runtime, extension, user, wheel_files, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # Blender's own business
    told = []
    found = runtime.Runtime(extension, user).ensure(lambda fraction, text: told.append((fraction, text)))
    monkeypatch.delenv("PYTHONHOME")

    assert_complete(site_of(found), wheel_files)
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] < fractions[-1] <= 1
    assert any(" of 3), " in text and "files to go" in text for _, text in told)

    script = "import small, importlib.metadata as m; print(small.ANSWER, m.version('many'), small.__file__, sep='\\n')"
    said = subprocess.run(
        [found.python, "-c", script], env=os.environ | found.environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert said == ["42", "1.0", str(site_of(found) / "small.py")]
    assert found.environment["PYTHONPATH"].endswith(str(extension))
    assert all(str(user) in value for value in found.environment.values())

    told.clear()
    assert runtime.Runtime(extension, user).ensure(lambda *news: told.append(news)) == found
    assert told == []


@for_long
def test_it_survives_being_killed_at_any_moment(runtime, extension, user, wheel_files, start):
    for delay in (0.03, 0.06, 0.1, 0.15, 0.2, 0.3):
        process = start()
        time.sleep(delay)
        process.kill()
        process.wait()
    done = {path: path.stat().st_mtime_ns for path in user.glob("*/done/*.whl")}

    found = runtime.Runtime(extension, user).ensure()

    assert_complete(site_of(found), wheel_files)
    assert done == {path: path.stat().st_mtime_ns for path in done}  # complete wheels were not unpacked again


@for_long
def test_unpacking_ends_with_blender(start):
    process = start()
    process.stdout.readline()
    process.stdout.close()  # as the system does when Blender is killed
    assert process.wait(10) == 1


@for_long
def test_it_can_be_cancelled_and_goes_on_later(runtime, failure, extension, user, wheel_files):
    told = []
    with pytest.raises(failure, match="cancelled"):
        runtime.Runtime(extension, user).ensure(lambda *news: told.append(news), lambda: bool(told))
    assert not list(user.glob("*/done/small*"))
    assert_complete(site_of(runtime.Runtime(extension, user).ensure()), wheel_files)


@for_long
def test_of_two_blenders_one_waits_for_the_other(runtime, extension, user, wheel_files, start):
    first, second = start(), start()
    with ThreadPoolExecutor() as pool:  # Windows' pipes are short: whom nobody reads has to wait
        outputs = pool.map(lambda process: process.communicate(timeout=120)[0], (first, second))
        lines = [[json.loads(line) for line in output.splitlines()] for output in outputs]
    assert first.returncode == second.returncode == 0
    waited, worked = sorted(lines, key=lambda said: "Waiting" not in said[0].get("text", ""))
    assert all("Waiting" in said["text"] for said in waited[:-1])
    assert waited[-1] == worked[-1]
    assert_complete(Path(worked[-1]["site"]), wheel_files)


@pytest.mark.parametrize("harm", ["truncated", "deleted", "marker", "record"])
def test_damage_to_what_was_unpacked_is_repaired(runtime, extension, user, wheel_files, harm):
    site = site_of(runtime.Runtime(extension, user).ensure())
    untouched = (site / "big" / "weights.bin").stat().st_mtime_ns
    if harm == "truncated":
        os.truncate(site / "many" / "part0007.py", 100)
    elif harm == "deleted":
        (site / "many" / "part0007.py").unlink()
    elif harm == "marker":
        next(user.glob("*/done/many*")).unlink()
    else:
        (site / "many-1.0.dist-info" / "RECORD").write_bytes(b"\xff,,,\n")

    assert site_of(runtime.Runtime(extension, user).ensure()) == site
    assert_complete(site, wheel_files)
    assert (site / "big" / "weights.bin").stat().st_mtime_ns == untouched


@pytest.mark.parametrize("harm", ["flipped", "missing", "list", "installer"])
def test_a_damaged_extension_names_the_file_and_the_way_out(runtime, failure, extension, user, harm):
    name = {"list": "list of packages", "installer": "installer-"}.get(harm, "many-1.0-py3-none-any.whl")
    path = extension / "wheels" / ("lock.json" if harm == "list" else name)
    if harm == "installer":
        path = next((extension / "wheels").glob("installer-*"))
    data = path.read_bytes()
    path.unlink()
    if harm != "missing":
        path.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:] if harm != "list" else data[:50])

    with pytest.raises(failure, match=name) as caught:
        runtime.Runtime(extension, user).ensure()
    assert caught.value.hint == "Install the extension again from its zip file."
    assert not list(user.glob("*/done/many*"))


def test_a_wheel_that_belies_its_own_record_is_refused(runtime, failure, tmp_path, user):
    record = b"liar.py,sha256=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,0\nliar-1.0.dist-info/RECORD,,\n"
    liar = make_wheel(tmp_path, "liar", {"liar.py": b"", "liar-1.0.dist-info/RECORD": record})
    extension = make_extension(tmp_path / "extension", [liar])
    with pytest.raises(failure, match=r"liar-1\.0-py3-none-any\.whl is not a sound wheel"):
        runtime.Runtime(extension, user).ensure()


def test_too_little_space_is_noticed_before_anything_is_written(runtime, failure, extension, user):
    edit_lock(extension, lambda lock: next(iter(lock["pythons"].values()))[0].update(unpacked=10**15))
    with pytest.raises(failure, match=r"takes 1000000\.\d GB") as caught:
        runtime.Runtime(extension, user).ensure()
    assert "Free at least" in caught.value.hint
    assert not list(user.glob("*/site"))


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="mounts a small disk; needs root")
def test_a_disk_that_fills_up_meanwhile(runtime, failure, tmp_path, user):
    wheel = make_wheel(tmp_path, "zeros", {"zeros.bin": bytes(200_000_000)})
    extension = make_extension(tmp_path / "extension", [wheel])
    edit_lock(extension, lambda lock: next(iter(lock["pythons"].values()))[0].update(unpacked=1))
    user.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", user], check=True)
    try:
        with pytest.raises(failure, match=r"but only 0\.0 GB are free"):
            runtime.Runtime(extension, user).ensure()
        subprocess.run(["mount", "-o", "remount,size=500m", user], check=True)
        assert_complete(site_of(runtime.Runtime(extension, user).ensure()), [wheel])
    finally:
        subprocess.run(["umount", "--lazy", user], check=True)  # this Blender holds a file open in there


def test_older_versions_are_removed_unless_another_blender_uses_them(runtime, extension, user):
    for name in ("cp311-old", "cp311-used", "removed-1"):
        (user / name / "site").mkdir(parents=True)
        (user / name / "in-use").touch()
    with (user / "cp311-used" / "in-use").open("r+b") as other:
        assert runtime.unpack.try_lock(other, shared=True)
        site = site_of(runtime.Runtime(extension, user).ensure())
        assert {path.name for path in (user).iterdir()} == {"lock", "cp311-used", site.parent.name}
    runtime.Runtime(extension, user).ensure()
    assert {path.name for path in (user).iterdir()} == {"lock", site.parent.name}


def test_an_extension_without_packages_or_for_another_python_says_so(runtime, failure, tmp_path, wheel_files, user):
    with pytest.raises(failure, match="does not bring the engine's packages") as caught:
        runtime.Runtime(tmp_path, user).ensure()
    assert "Engine Python" in caught.value.hint

    extension = make_extension(tmp_path / "extension", wheel_files, tag="cp399")
    with pytest.raises(failure, match=r"for Python 3\.99, but Blender's is 3\.") as caught:
        runtime.Runtime(extension, user).ensure()
    assert "Engine Python" in caught.value.hint

    with pytest.raises(failure, match="cannot be started"):
        runtime.Runtime(extension, user, python=tmp_path / "no" / "python").ensure()


def test_what_the_engine_never_opens_is_not_unpacked(runtime, tmp_path, user):
    files = {
        "lean/__init__.py": b"",
        "lean/include/deep.h": b"int x;",
        "lean/tests/test_lean.py": b"",
        "lean/tool.exe": b"MZ",
        "lean-1.0.dist-info/licenses/LICENSE": b"MIT",
    }
    extension = make_extension(tmp_path / "extension", [make_wheel(tmp_path, "lean", files)])
    site = site_of(runtime.Runtime(extension, user).ensure())
    there = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    assert {"lean/__init__.py", "lean-1.0.dist-info/licenses/LICENSE"} <= there
    assert not there & {"lean/include/deep.h", "lean/tests/test_lean.py", "lean/tool.exe"}
    told = []
    runtime.Runtime(extension, user).ensure(lambda *news: told.append(news))
    assert told == []  # what was left out is not missed


def test_a_folder_too_deep_for_windows_is_said_before_anything_is_written(runtime, monkeypatch, tmp_path):
    unpack = runtime.unpack
    monkeypatch.setattr(unpack.sys, "platform", "win32")
    deep = tmp_path.joinpath(*["d" * 50] * 4) / "cp311-01234567"
    wheel = unpack.Wheel("a.whl", 1, "", 1, 1, longest=260 - len(str(deep / "site")) - 2)
    unpack._check_length(deep, [wheel])
    with pytest.raises(unpack.UnpackError, match=r"3 characters too long for Windows"):
        unpack._check_length(deep, [wheel._replace(longest=wheel.longest + 3)])


def test_a_file_that_a_virus_scanner_holds_is_tried_again_and_named(runtime, monkeypatch):
    class Held(PermissionError):
        winerror = 32

    unpack, tries = runtime.unpack, []
    monkeypatch.setattr(unpack.time, "sleep", lambda seconds: None)

    def act() -> str:
        tries.append(1)
        if len(tries) < 5:
            raise Held
        return "done"

    assert unpack.patiently(act) == "done"
    assert "virus scanner" in unpack._way_out(Held())
    assert "may write there" in unpack._way_out(PermissionError())
    with pytest.raises(PermissionError):
        unpack.patiently(lambda: (_ for _ in ()).throw(PermissionError()))
