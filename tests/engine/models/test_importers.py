"""Official checkpoints by their layouts: every tensor lands in its place, and nothing else is accepted."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from engine.errors import AssetError
from engine.models.importers import load_dinov3, load_match, load_uika, load_uv_estimator, match_from, uika_from
from engine.models.kit.encoders import VIT_L16, VIT_S16, DinoConfig
from engine.models.match import MATCH
from engine.models.uika import UIKA
from tests.engine.models.parity import FIXTURES, TINY_ESTIMATOR, TINY_UIKA, layout, tensors
from tests.engine.models.test_match import TINY as TINY_MATCH


def imagined(official: dict) -> dict[str, torch.Tensor]:
    """Tensors of an official layout that take no memory: each repeats one random number, which so names it."""
    generator = torch.Generator().manual_seed(3)
    sizes = {"N_valid": 11, "3*N_valid": 33, "V": 7, "F": 9, "F_orig": 9}
    made = {}
    for name, (shape, dtype, *_) in official.items():
        number = torch.rand((), generator=generator) * 100
        made[name] = number.to(getattr(torch, dtype)).expand([sizes.get(length, length) for length in shape])
    return made


def value(tensor: torch.Tensor) -> float:
    """The one number that an imagined tensor repeats."""
    flat = tensor.flatten()
    assert flat[0] == flat[-1]
    return flat[0].item()


@pytest.mark.slow
def test_uikas_official_layout_fills_network_and_estimator():
    given = imagined(layout("uika_official"))
    network, estimator = uika_from(given, "uika.safetensors", UIKA.paper())
    parameters = dict(estimator.named_parameters()) | dict(network.named_parameters())
    assert not any(p.is_meta for p in parameters.values())
    pairs = {
        "blocks.7.joints.1.context.key_norm.weight": "transformer.layers.7.attn2.norm_added_k.weight",
        "blocks.11.joints.0.own.out.bias": "transformer.layers.11.attn.to_out.0.bias",
        "blocks.3.context_mlps.1.down.weight": "transformer.layers.3.ff_context2.net.2.weight",
        "dpt.fusions.0.skip_unit.conv2.bias": "gs_decoder.dpt_decoder.refinenet.3.resConfUnit1.conv2.bias",
        "encoder.vit.model.layer.20.attention.v_proj.bias": "encoder.model.blocks.20.attn.qkv.bias",
        "pairs.2.whole.scale2.gain": "uv_wrapper.model.aggregator.global_blocks.2.ls2.gamma",
        "heads.layers.color.weight": "gs_decoder.gs_net.out_layers.shs.weight",
    }
    for ours, official in pairs.items():
        assert value(parameters[ours]) == value(given[official])
    # Every learned tensor went somewhere, but for the six that cannot influence anything.
    used = {value(p) for module in (network, estimator) for p in module.parameters()}
    learned = {name for name, entry in layout("uika_official").items() if entry[2] == "parameter"}
    dead = {name for name in learned if value(given[name]) not in used}
    assert all(re.fullmatch(r"transformer\.layers\.11\.attn2?\.(add_q_proj|norm_added_q)\..*", name) for name in dead)
    assert len(dead) == 6


def test_matchs_official_layout_fills_the_network():
    given = imagined(layout("match_official_uv1024_p16"))
    network = match_from(given, "model.safetensors", MATCH.paper())
    used = {value(p) for p in network.parameters()}
    learned = [name for name, entry in layout("match_official_uv1024_p16").items() if entry[2] == "parameter"]
    assert used == {value(given[name]) for name in learned} and len(used) == len(learned)
    assert value(network.registration_blocks[5].mlp.up.weight) == value(given["transformer.blocks.10.mlp.w3.weight"])


@pytest.mark.parametrize(("name", "config"), [("dinov3_vits16", VIT_S16), ("dinov3_vitl16", VIT_L16)])
def test_dinov3s_official_layout_fills_the_encoder(name, config, tmp_path, monkeypatch):
    given = imagined(layout("dinov3_official")[name])
    monkeypatch.setattr("engine.models.importers.read_tensors", lambda path: given)
    encoder = load_dinov3(tmp_path / f"{name}.pth", config)
    last = config.depth - 1
    query = encoder.vit.model.layer[last].attention.q_proj.weight
    assert query.shape == (config.width, config.width)
    assert value(query) == value(given[f"blocks.{last}.attn.qkv.weight"])
    assert not any(p.requires_grad or p.is_meta for p in encoder.parameters())


def test_metas_and_hugging_faces_dinov3_are_the_same_network(tmp_path):
    config = DinoConfig(48, 3, 3)
    prefix = "fuvt.aggregator.patch_embed."
    meta = {k.removeprefix(prefix): v for k, v in tensors("fuvt_tiny_weights").items() if k.startswith(prefix)}
    torch.save(meta, tmp_path / "dinov3.pth")
    first = load_dinov3(tmp_path / "dinov3.pth", config)
    published = {k.replace("model.layer.", "layer."): v.clone() for k, v in first.vit.state_dict().items()}
    save_file(published, tmp_path / "model.safetensors")
    second = load_dinov3(tmp_path / "model.safetensors", config)
    image = torch.rand(1, 3, 32, 48)
    assert torch.equal(first(image)[0], second(image)[0])


def test_the_head_model_and_the_teacher_stay_in_their_files(tmp_path):
    estimator = tensors("fuvt_tiny_weights")
    teacher = {"uv_wrapper.model.vol_decoder.0.weight": torch.rand(3)}
    save_file(estimator | teacher, tmp_path / "fuvt_15k.safetensors")
    load_uv_estimator(tmp_path / "fuvt_15k.safetensors", TINY_ESTIMATOR)
    inside = {name.replace("fuvt.", "uv_wrapper.model.", 1): tensor for name, tensor in estimator.items()}
    flame = {"renderer.flame_model.shapedirs_pix": torch.rand(5, 3, 4)}
    save_file(tensors("uika_tiny_weights") | inside | flame, tmp_path / "uika.safetensors")
    load_uika(tmp_path / "uika.safetensors", TINY_UIKA)
    with pytest.raises(
        AssetError, match=re.escape("unknown tensors: uv_wrapper.model.vol_decoder.0.weight (1 in all)")
    ):
        uika_from(tensors("uika_tiny_weights") | inside | teacher, "uika.safetensors", TINY_UIKA)


def broken(change: str) -> dict[str, torch.Tensor]:
    given = tensors("match_tiny_weights")
    name = "transformer.blocks.3.attn.wq.weight"
    if change == "missing":
        del given[name]
    elif change == "extra":
        given["transformer.blocks.4.norm1.weight"] = torch.rand(64)
    elif change == "misshaped":
        given[name] = given[name][:32]
    else:
        given[name] = given[name].to(torch.int64)
    return given


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("missing", "model.safetensors lacks tensors: transformer.blocks.3.attn.wq.weight (1 in all)"),
        ("extra", "model.safetensors has unknown tensors: transformer.blocks.4.norm1.weight (1 in all)"),
        ("misshaped", "transformer.blocks.3.attn.wq.weight [32, 64] instead of [64, 64]"),
        ("integers", "transformer.blocks.3.attn.wq.weight of type torch.int64"),
    ],
)
def test_anything_out_of_place_is_refused_by_name(change, complaint):
    with pytest.raises(AssetError, match=re.escape(complaint)):
        match_from(broken(change), "model.safetensors", TINY_MATCH)


class Hostile:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_files_are_never_executed(tmp_path):
    marker = tmp_path / "executed"
    torch.save({"blocks.0.norm1.weight": Hostile(marker)}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Hostile(marker)))
    (tmp_path / "renamed.safetensors").write_bytes(pickle.dumps(Hostile(marker)))
    for name in ("zip.pth", "plain.pth", "renamed.safetensors"):
        with pytest.raises(AssetError, match=f"{name} cannot be read as weights"):
            load_dinov3(tmp_path / name, VIT_S16)
    assert not marker.exists()


@pytest.mark.parametrize("kept", [0, 100, 1_000_000])
def test_truncated_files_are_refused(kept, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes((FIXTURES / "match_tiny_weights.safetensors").read_bytes()[:kept])
    with pytest.raises(AssetError, match=r"model\.safetensors cannot be read"):
        load_match(path, TINY_MATCH)


def test_absent_and_unknown_files_are_refused(tmp_path):
    with pytest.raises(AssetError, match="missing"):
        load_match(tmp_path / "model.safetensors")
    (tmp_path / "model.ckpt").write_bytes(b"PK")
    with pytest.raises(AssetError, match="not a weights file"):
        load_match(tmp_path / "model.ckpt")
