"""Official checkpoints of DINOv3, UIKA and MATCH into our networks: every tensor accounted for by name, or refused.

A file is only ever read as data: safetensors, or torch files with ``weights_only``. Nothing is loaded partly.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import safe_open
from torch import nn

from engine.errors import AssetError
from engine.models.kit.encoders import Dino, DinoConfig
from engine.models.kit.uv_estimator import PAIRS, UVEstimator, UVEstimatorConfig
from engine.models.match import MATCH, MatchNetwork
from engine.models.uika import DEPTHS, UIKA, UIKANetwork

NAMED = 5  # names listed in a refusal
DINO_CONSTANTS = ("*qkv.bias_mask", "*rope_embed.periods")  # computed, not learned
TABLES, ESTIMATOR = "renderer.flame_model.", "uv_wrapper.model."  # of the names in UIKA's file
HEAD_MODEL = (f"{TABLES}*",)  # derived from FLAME, under FLAME's licence; recomputed from the user's own file
TEACHER = ("uv_wrapper.model.*",)  # in the estimator's own file: Pixel3DMM, CC BY-NC
MATCH_TEMPLATE = (
    "template_*",
    "uv_grid_*",
    "face_mask",
    "vertex_mask",
    "num_verts",
)  # Ava-256's mesh and its UV raster
SAFETENSORS, TORCH = (".safetensors",), (".pth", ".pt")


@dataclass(frozen=True)
class Source:
    """Where one of our modules (all its parameters) or parameters comes from.

    Attributes:
        name: the official module's or parameter's.
        part, parts: which of how many equal parts along the first axis.
        ones: axes of length 1 that the official tensor has more (after all others) or, if negative, less (in front).
    """

    name: str
    part: int = 0
    parts: int = 1
    ones: int = 0

    def official_shape(self, ours: torch.Size) -> tuple[int, ...]:
        """The shape that the official tensor must have for ours."""
        shape = tuple(ours[-self.ones :]) if self.ones < 0 else (*ours, *[1] * self.ones)
        return (self.parts * shape[0], *shape[1:])

    def convert(self, official: torch.Tensor, ours: torch.Tensor) -> torch.Tensor:
        return official.chunk(self.parts)[self.part].reshape(ours.shape).to(ours.dtype)


Table = dict[str, Source]  # by our names
Module = TypeVar("Module", bound=nn.Module)


def load_dinov3(path: Path, config: DinoConfig) -> Dino:
    """Meta's file (.pth) or the one on Hugging Face (.safetensors).

    Raises:
        AssetError: this and all the following; the message names the file and the tensors.
    """
    tensors = read_tensors(path)
    table = (
        _dino_table("", "", config.depth) if "patch_embed.proj.weight" in tensors else _hugging_face_table(config.depth)
    )
    return fill(_build(lambda: Dino(config)), table, tensors, path.name, DINO_CONSTANTS)


def load_uv_estimator(path: Path, config: UVEstimatorConfig | None = None) -> UVEstimator:
    """UIKA's UV estimator from its own file, fuvt_15k.safetensors."""
    config = config or UVEstimatorConfig.paper()
    table = _estimator_table("", "fuvt.", config)
    return fill(_build(lambda: UVEstimator(config)), table, read_tensors(path), path.name, (*DINO_CONSTANTS, *TEACHER))


def load_uika(path: Path, config: UIKA | None = None) -> tuple[UIKANetwork, UVEstimator]:
    """UIKA's network and the UV estimator that its file, uika.safetensors, carries."""
    return uika_from(read_tensors(path), path.name, config or UIKA.paper())


def uika_from(tensors: Mapping[str, torch.Tensor], source: str, config: UIKA) -> tuple[UIKANetwork, UVEstimator]:
    """The same from tensors by name. ``source``: the file's name, for messages."""
    return uika_network_from(tensors, source, config), uika_estimator_from(tensors, source, config.estimator)


def uika_network_from(tensors: Mapping[str, torch.Tensor], source: str, config: UIKA) -> UIKANetwork:
    """UIKA's network alone; its file need not carry the estimator."""
    # Queries of contexts that are not updated any more cannot influence anything.
    dead = [
        f"transformer.layers.{config.depth - 1}.{joint}.{name}"
        for joint in ("attn", "attn2")
        for name in ("add_q_proj.weight", "add_q_proj.bias", "norm_added_q.weight")
    ]
    skipped = (*DINO_CONSTANTS, *HEAD_MODEL, f"{ESTIMATOR}*", *dead)
    return fill(_build(lambda: UIKANetwork(config)), _uika_table(config), tensors, source, skipped)


def uika_estimator_from(tensors: Mapping[str, torch.Tensor], source: str, config: UVEstimatorConfig) -> UVEstimator:
    """The UV estimator that UIKA's file carries, alone."""
    its = {name: tensors[name] for name in tensors if name.startswith(ESTIMATOR)}
    table = _estimator_table("", ESTIMATOR, config)
    return fill(_build(lambda: UVEstimator(config)), table, its, source, DINO_CONSTANTS)


def load_match(path: Path, config: MATCH | None = None) -> MatchNetwork:
    """MATCH's network from a training checkpoint's model.safetensors."""
    return match_from(read_tensors(path), path.name, config or MATCH.paper())


def match_from(tensors: Mapping[str, torch.Tensor], source: str, config: MATCH) -> MatchNetwork:
    """The same from tensors by name."""
    return fill(_build(lambda: MatchNetwork(config)), _match_table(config), tensors, source, MATCH_TEMPLATE)


def _build(make: Callable[[], Module]) -> Module:
    """A network without storage; the checkpoint's tensors become its parameters."""
    with torch.device("meta"):
        return make().eval()


def fill(
    module: Module, table: Table, tensors: Mapping[str, torch.Tensor], source: str, skipped: tuple[str, ...]
) -> Module:
    """Make a checkpoint's tensors the parameters of a module, all or nothing.

    Args:
        table: where our modules and parameters come from; a parameter that it does not name is found under its module.
        source: the file's name, for messages.
        skipped: patterns of official names that are left in the file.

    Raises:
        AssetError: a tensor is missing, extra or misshaped; official names are listed.
    """
    ours = module.state_dict()
    origins = {name: _origin(name, table) for name in ours}
    wanted = {origin.name for origin in origins.values()}
    given = {name for name in tensors if not any(fnmatchcase(name, pattern) for pattern in skipped)}
    _refuse("lacks", wanted - given, source)
    _refuse("has unknown", given - wanted, source)

    shapes = {origin.name: origin.official_shape(ours[name].shape) for name, origin in origins.items()}
    wrong, filled = set(), {}
    for name, origin in sorted(origins.items(), key=lambda item: item[1].name):
        official = tensors[origin.name]
        if tuple(official.shape) != shapes[origin.name]:
            wrong.add(f"{origin.name} {list(official.shape)} instead of {list(shapes[origin.name])}")
        elif not official.is_floating_point():
            wrong.add(f"{origin.name} of type {official.dtype}")
        else:
            filled[name] = origin.convert(official, ours[name])
    _refuse("has misshaped", wrong, source)
    module.load_state_dict(filled, strict=True, assign=True)
    return module


def _origin(name: str, table: Table) -> Source:
    if name in table:
        return table[name]
    owner, _, leaf = name.rpartition(".")
    origin = table[owner]
    return Source(f"{origin.name}.{leaf}", origin.part, origin.parts, origin.ones if leaf == "weight" else 0)


def _refuse(problem: str, names: set[str], source: str) -> None:
    if names:
        listed = ", ".join(sorted(names)[:NAMED]) + (", …" if len(names) > NAMED else "")
        raise AssetError(
            f"{source} {problem} tensors: {listed} ({len(names)} in all).",
            "Use the file named in docs/systems.md, unchanged; nothing was loaded.",
        )


def read_tensors(path: Path) -> Mapping[str, torch.Tensor]:
    """A file's tensors by name; those of safetensors files are read when they are looked up.

    Raises:
        AssetError: missing, damaged, of another kind, or holding more than tensors.
    """
    hint = "Obtain it again as docs/systems.md says."
    if not path.is_file():
        raise AssetError(f"The weights {path} are missing.", "docs/systems.md says how to obtain them.")
    try:
        if path.suffix in SAFETENSORS:
            return _Safetensors(path)
        if path.suffix in TORCH:
            with zipfile.ZipFile(path) as archive:  # PyTorch's own kind, which packs nothing
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise AssetError(f"{path.name} is packed, as PyTorch's files are not.", hint)
            tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            if isinstance(tensors, dict) and all(isinstance(value, torch.Tensor) for value in tensors.values()):
                return tensors
            raise AssetError(f"{path.name} holds more than a table of tensors.", hint)
    except AssetError:
        raise
    except Exception as error:  # torch, pickle and zipfile raise a dozen kinds on damaged bytes
        raise AssetError(f"{path.name} cannot be read as weights.", hint) from error
    raise AssetError(f"{path.name} is not a weights file.", f"Known kinds: {', '.join(SAFETENSORS + TORCH)}.")


class _Safetensors(Mapping[str, torch.Tensor]):
    def __init__(self, path: Path):
        self.file = safe_open(path, framework="pt")
        self.names = dict.fromkeys(self.file.keys())

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.file.get_tensor(name)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _dino_table(ours: str, official: str, depth: int) -> Table:
    """Meta's names. Keys have no bias here: the original stores one and multiplies it by zero."""
    vit = f"{ours}vit."
    table = {
        f"{vit}embeddings.cls_token": Source(f"{official}cls_token"),
        f"{vit}embeddings.register_tokens": Source(f"{official}storage_tokens"),
        f"{vit}embeddings.mask_token": Source(f"{official}mask_token", ones=-1),
        f"{vit}embeddings.patch_embeddings": Source(f"{official}patch_embed.proj"),
        f"{vit}norm": Source(f"{official}norm"),
    }
    for i in range(depth):
        mine, theirs = f"{vit}model.layer.{i}.", f"{official}blocks.{i}."
        table |= {f"{mine}attention.{'qkv'[p]}_proj": Source(f"{theirs}attn.qkv", p, 3) for p in range(3)}
        table |= {
            f"{mine}attention.o_proj": Source(f"{theirs}attn.proj"),
            f"{mine}mlp.up_proj": Source(f"{theirs}mlp.fc1"),
            f"{mine}mlp.down_proj": Source(f"{theirs}mlp.fc2"),
        }
        for k in (1, 2):
            table[f"{mine}norm{k}"] = Source(f"{theirs}norm{k}")
            table[f"{mine}layer_scale{k}.lambda1"] = Source(f"{theirs}ls{k}.gamma")
    return table


def _hugging_face_table(depth: int) -> Table:
    """The names of the files on Hugging Face: those of ``transformers``, but for the layers' prefix."""
    embeddings = ("cls_token", "register_tokens", "mask_token", "patch_embeddings")
    parts = [f"attention.{p}_proj" for p in "qkvo"] + ["mlp.up_proj", "mlp.down_proj", "norm1", "norm2"]
    parts += ["layer_scale1", "layer_scale2"]
    table = {f"vit.embeddings.{name}": Source(f"embeddings.{name}") for name in embeddings}
    layers = {f"vit.model.layer.{i}.{part}": Source(f"layer.{i}.{part}") for i in range(depth) for part in parts}
    return table | layers | {"vit.norm": Source("norm")}


def _dpt_table(ours: str, official: str, narrow: str, fusion: str, first: int, deepest_first: bool) -> Table:
    """A DPT's trunk; releases differ in how they number depths."""
    table = {}
    for depth in range(DEPTHS):
        table[f"{ours}projects.{depth}"] = Source(f"{official}projects.{depth}")
        table[f"{ours}resizes.{depth}"] = Source(f"{official}resize_layers.{depth}")
        table[f"{ours}narrow.{depth}"] = Source(official + narrow.format(depth + first))
        number = DEPTHS - 1 - depth if deepest_first else depth + first
        mine, theirs = f"{ours}fusions.{depth}.", official + fusion.format(number)
        table[f"{mine}out"] = Source(f"{theirs}.out_conv")
        for conv in ("conv1", "conv2"):
            table[f"{mine}skip_unit.{conv}"] = Source(f"{theirs}.resConfUnit1.{conv}")
            table[f"{mine}unit.{conv}"] = Source(f"{theirs}.resConfUnit2.{conv}")
    return table


def _estimator_table(ours: str, official: str, config: UVEstimatorConfig) -> Table:
    head = f"{official}uv_head."
    table = _dino_table(f"{ours}encoder.", f"{official}aggregator.patch_embed.", config.encoder.depth)
    table |= _dpt_table(f"{ours}dpt.", head, "scratch.layer{}_rn", "scratch.refinenet{}", 1, deepest_first=False)
    table |= {
        f"{ours}norm": Source(f"{head}norm"),
        f"{ours}narrow": Source(f"{head}scratch.output_conv1"),
        f"{ours}head.0": Source(f"{head}scratch.output_conv2.0"),
        f"{ours}head.2": Source(f"{head}scratch.output_conv2.2"),
    }
    for i in range(PAIRS):
        for half, name in (("frame", "frame_blocks"), ("whole", "global_blocks")):
            mine, theirs = f"{ours}pairs.{i}.{half}.", f"{official}aggregator.{name}.{i}."
            names = ("query", "key", "value")
            table |= {f"{mine}attention.{names[p]}": Source(f"{theirs}attn.qkv", p, 3) for p in range(3)}
            table |= {
                f"{mine}attention.query_norm": Source(f"{theirs}attn.q_norm"),
                f"{mine}attention.key_norm": Source(f"{theirs}attn.k_norm"),
                f"{mine}attention.out": Source(f"{theirs}attn.proj"),
                f"{mine}mlp.up": Source(f"{theirs}mlp.fc1"),
                f"{mine}mlp.down": Source(f"{theirs}mlp.fc2"),
            }
            for k in (1, 2):
                table[f"{mine}norm{k}"] = Source(f"{theirs}norm{k}")
                table[f"{mine}scale{k}.gain"] = Source(f"{theirs}ls{k}.gamma")
    return table


def _uika_table(config: UIKA) -> Table:
    trunk, decoder = "transformer.", "gs_decoder."
    table = _dino_table("encoder.", "encoder.model.", config.encoder.depth)
    table |= _dpt_table(
        "dpt.", f"{decoder}dpt_decoder.", "layer_rn.{}", "refinenet.{}", 0, deepest_first=True
    )  # fmt: skip
    table |= {
        "tokens.tokens": Source(f"{trunk}uv_token"),
        "tokens.places": Source(f"{trunk}uv_pos_embed"),
        "map_head.0": Source(f"{decoder}dpt_decoder.output_conv.0"),
        "map_head.2": Source(f"{decoder}dpt_decoder.output_conv.2"),
    }
    table |= {f"mlp.{i}": Source(f"{decoder}mlp_net.layers.{i}") for i in (0, 2, 4)}
    table |= {f"norms.{i}": Source(f"{trunk}norm_list.{i}") for i in range(DEPTHS)}
    attributes = {"offset": "xyz", "scale": "scaling", "rotation": "rotation", "opacity": "opacity", "color": "shs"}
    table |= {f"heads.layers.{a}": Source(f"{decoder}gs_net.out_layers.{b}") for a, b in attributes.items()}
    for c, (fusion, mark) in enumerate((("fusion_head", ""), ("uv_fusion_head", "2"))):
        table[f"projects.{c}"] = Source(f"{trunk}linear_cond_proj{mark}")
        table[f"fusions.{c}.out"] = Source(f"encoder.{fusion}.output_conv", ones=2)
        for t in range(len(config.taps)):
            table[f"fusions.{c}.projects.{t}"] = Source(f"encoder.{fusion}.projects.{t}", ones=2)
    for i in range(config.depth):
        mine, theirs = f"blocks.{i}.", f"{trunk}layers.{i}."
        table |= {f"{mine}norm": Source(f"{theirs}norm1")}
        table |= _feed_forward(f"{mine}mlp", f"{theirs}ff")
        for c, mark in enumerate(("", "2")):
            table[f"{mine}context_norms.{c}"] = Source(f"{theirs}norm1_context{mark}")
            table |= _feed_forward(f"{mine}context_mlps.{c}", f"{theirs}ff_context{mark}")
            table |= _joint_table(f"{mine}joints.{c}.", f"{theirs}attn{mark}.")
    return table


def _feed_forward(ours: str, official: str) -> Table:
    return {f"{ours}.up": Source(f"{official}.net.0.proj"), f"{ours}.down": Source(f"{official}.net.2")}


def _joint_table(ours: str, official: str) -> Table:
    table = {f"{ours}own.out": Source(f"{official}to_out.0"), f"{ours}context.out": Source(f"{official}to_add_out")}
    for name in ("query", "key", "value"):
        table[f"{ours}own.{name}"] = Source(f"{official}to_{name[0]}")
        table[f"{ours}context.{name}"] = Source(f"{official}add_{name[0]}_proj")
    for name in ("query", "key"):
        table[f"{ours}own.{name}_norm"] = Source(f"{official}norm_{name[0]}")
        table[f"{ours}context.{name}_norm"] = Source(f"{official}norm_added_{name[0]}")
    return table


def _match_table(config: MATCH) -> Table:
    attributes = {"offset": "xyz", "scale": "scale", "rotation": "rotation", "opacity": "opacity", "color": "rgb"}
    table = {f"heads.layers.{ours}": Source(f"out_{official}") for ours, official in attributes.items()}
    table |= {
        "embed_image.linear": Source("x_embedder"),
        "embed_features": Source("sapiens_embedder"),
        "embed_uv.linear": Source("uv_patch_embedder"),
        "uv_tokens": Source("uv_tokens"),
        "norm": Source("ln_out"),
    }
    inside = {
        "norm1": "norm1",
        "norm2": "norm2",
        "attention.query": "attn.wq",
        "attention.key": "attn.wk",
        "attention.value": "attn.wv",
        "attention.out": "attn.wo",
        "attention.query_norm": "attn.q_norm",
        "attention.key_norm": "attn.k_norm",
        "mlp.gate": "mlp.w1",
        "mlp.down": "mlp.w2",
        "mlp.up": "mlp.w3",
    }
    for i in range(config.pairs):
        for blocks, number in (("registration_blocks", 2 * i), ("grouped_blocks", 2 * i + 1)):
            for ours, official in inside.items():
                table[f"{blocks}.{i}.{ours}"] = Source(f"transformer.blocks.{number}.{official}")
    return table
