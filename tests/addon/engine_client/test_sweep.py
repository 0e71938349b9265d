"""What was unpacked away from Blender's own folders goes when the extension is uninstalled, and only then."""

import gc
import importlib
import shutil

import pytest

from ..waiting import wait_for


@pytest.fixture
def folders(tmp_path):
    extension, local = tmp_path / "extension", tmp_path / "gaussian_heads" / "a1b2c3"
    extension.mkdir()
    (local / "cp311-0" / "site").mkdir(parents=True)
    return extension, local


@pytest.fixture
def process(addon, folders):
    process = importlib.import_module(f"{addon}.engine_client.runtime").sweep_after_uninstall(*folders)
    yield process
    process.kill()
    process.stdin.close()
    process.wait()


def test_it_goes_with_the_extension_though_nobody_keeps_the_process(addon, folders):
    extension, local = folders
    importlib.import_module(f"{addon}.engine_client.runtime").sweep_after_uninstall(extension, local)
    gc.collect()
    assert not wait_for(lambda: not local.exists(), 3)  # it has not taken that for Blender's end
    shutil.rmtree(extension)
    assert wait_for(lambda: not local.parent.exists(), 30)


def test_it_goes_with_the_extension(process, folders):
    extension, local = folders
    shutil.rmtree(extension)
    assert wait_for(lambda: not local.parent.exists(), 30)
    assert process.wait(10) == 0


def test_it_stays_when_an_update_takes_the_extensions_place(process, folders):
    extension, local = folders
    shutil.rmtree(extension)
    assert not wait_for(lambda: not local.exists(), 2)
    extension.mkdir()
    assert not wait_for(lambda: not local.exists(), 7)
    assert process.poll() is None


@pytest.mark.parametrize("uninstalled", [True, False])
def test_blenders_end_decides_at_once(process, folders, uninstalled):
    extension, local = folders
    if uninstalled:
        shutil.rmtree(extension)
    process.stdin.close()
    assert process.wait(10) == 0
    assert local.exists() != uninstalled
