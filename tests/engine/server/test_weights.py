"""Requests name the user's weights; the server never opens a file because somebody asks for it."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import save_file

from engine.models.learned.weights import shipped
from engine.server.errors import Refusal
from engine.server.folder import WorkFolder
from engine.server.job_routes import create_job
from engine.server.services import Services
from engine.server.weights import by_name, details


def test_weights_are_known_by_name_alone(tmp_path):
    official, mine, again = (tmp_path / name for name in ("uika.safetensors", "mine.safetensors", "b/mine.safetensors"))
    save_file({"transformer.uv_token": torch.zeros(1)}, official)
    shutil.copy(shipped("match"), mine)
    known = by_name([official, mine, again, mine])
    assert known == {"uika.safetensors": official, "mine.safetensors": mine, "mine 2.safetensors": again}
    first, second, gone = details(known)
    assert (first.system, first.head, first.problem) == ("uika", "flame", "")
    assert "FLAME 2023" in first.missing
    assert (second.system, second.head, second.missing) == ("match", "makehuman", "")
    assert "are missing" in gone.problem

    services = Services(WorkFolder(), lambda: None, weights=known)
    try:
        for name in (str(mine), "../mine.safetensors", "other.safetensors"):
            with pytest.raises(Refusal, match="no weights called"):
                create_job(services, [], system="match", weights=name)
        job = services.jobs.status(create_job(services, [], system="match", weights="mine.safetensors").id)
        assert job.state == "queued"
    finally:
        services.close()
