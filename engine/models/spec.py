"""What a system says of itself; pipeline, estimates, training, benchmarks, command line and Blender read it here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args, get_type_hints

import numpy as np
import torch

from engine.device import CPU
from engine.errors import EngineError
from engine.heads.parametric import ParametricHead
from engine.models.head_gaussians import HeadGaussians
from engine.models.kit.rehearsal import Rehearsal
from engine.photos.photo import Photo
from engine.progress import Progress
from engine.tracking.tracked import Tracked

if TYPE_CHECKING:
    from engine.models.learned.system import LearnedSystem
    from engine.models.official.contents import Contents

PRESETS = ("tiny", "small", "paper")
"""Sizes of every network: for tests, as shipped, and as published."""
CORRESPONDENCES = ("estimator", "tracking")
"""What tells official weights where on the skin a pixel lies: a network of theirs, or the tracked mesh."""


class Reconstruct(Protocol):
    """Photos with their tracking to Gaussians."""

    def __call__(
        self,
        photos: Sequence[Photo],
        tracked: Tracked,
        head: ParametricHead,
        progress: Progress,
        count: int,
        seconds: float = 0.0,
        device: torch.device = CPU,
    ) -> HeadGaussians:
        """The head, on the CPU.

        Args:
            count: Gaussians on the surface. seconds: budget of the system's own refinement, where it has one.
            device: for what is made of tensors. Where its memory ends, ``torch.cuda.OutOfMemoryError`` may come out,
                and the call is repeated with the CPU.
        """
        ...


class KnownPerson(Protocol):
    """What a system kept of a person's photos, read again.

    Attributes:
        photos: (name, sha256) of each. embeddings: [P, 128], who they show. neutral: [V, 3] metres, the head's mesh.
        count: Gaussians on its surface.
    """

    @property
    def photos(self) -> tuple[tuple[str, str], ...]: ...
    @property
    def embeddings(self) -> torch.Tensor: ...
    @property
    def neutral(self) -> np.ndarray: ...
    @property
    def count(self) -> int: ...

    def place(self, photos: Sequence[Photo], head: ParametricHead) -> Tracked:
        """The known person in new photos."""
        ...


@dataclass(frozen=True)
class Adding:
    """How a system puts further photos into a head that it made.

    Attributes:
        suffix: of the file beside the avatar.
        load: reads that file. Raises AvatarError: missing, damaged, of other weights or another head model.
        add: the head after new photos, from what :meth:`KnownPerson.place` tracked; the last argument as
            :class:`Reconstruct`'s.
    """

    suffix: str
    load: Callable[[Path, ParametricHead], KnownPerson]
    add: Callable[[Any, Sequence[Photo], Tracked, ParametricHead, Progress, torch.device], HeadGaussians]


class Official(Protocol):
    """How a system runs with weights that its paper's authors published."""

    def __call__(self, spec: SystemSpec, path: Path, holds: Contents, head: str, correspondence: str) -> SystemSpec:
        """Args: path: of the weights. holds: what is in them. head: the model asked for, by name or path.
        correspondence: one of :data:`CORRESPONDENCES`.

        Raises: EngineError: these do not go together.
        """
        ...


@dataclass(frozen=True)
class Losses:
    """Weights of a training's terms. Pictures are compared over a random plain background.

    Attributes:
        l1, ssim, lpips: of the picture; LPIPS is AlexNet's (ours: VGG's is fifteen times dearer) and of one target.
        matte: L1 of the alpha (ours). mouth: further L1 at the mouth (arXiv 2512.17717 has LPIPS there).
        offset: mean squared offset from the anchors, in cm².
    """

    l1: float = 0.8
    ssim: float = 0.2
    lpips: float = 0.4
    matte: float = 0.5
    mouth: float = 0.0
    offset: float = 0.003


@dataclass(frozen=True)
class Data:
    """The choices that papers make about their data.

    Attributes:
        timesteps: of one person's photos: "random" ones in every sample, the "same", or "mixed": the same for every
            other person.
        rebalanced: rare expressions come as often as common ones; only with "mixed" timesteps.
    """

    timesteps: Literal["mixed", "random", "same"] = "mixed"
    rebalanced: bool = False

    def __post_init__(self) -> None:
        if self.rebalanced and self.timesteps != "mixed":
            raise EngineError("Data can be rebalanced, or be of chosen timesteps.", "Set one of the two.")


@dataclass(frozen=True)
class Contrast:
    """One of a paper's ablations.

    Attributes:
        claim: what the paper says, in words. variant, data: what is changed to take the part away.
        photos: counts over which people are averaged.
        rare: only targets whose expression is rarer than if all were even.
    """

    claim: str
    variant: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    photos: tuple[int, ...] = (1, 4)
    rare: bool = False


@dataclass(frozen=True, eq=False)
class NetworkSpec:
    """The network of a learned system.

    Attributes:
        config: the method's dataclass; its class methods named as :data:`PRESETS` are the sizes.
        system: that and the head to the system.
        losses, data: of its training. contrasts: its paper's ablations.
        photos: counts that an ablation compares one with the next.
        rehearse: a config, a number of photos and a device to what a benchmark times.
        published: the paper's figure by the end of a benchmark row's name, such as "1 photo, frame".
        caution: what users should know of the weights that come with the engine, for tooltips.
        official: the system with weights that the paper's authors published; None where no such file can be run.
    """

    config: Any
    system: Callable[[Any, ParametricHead], LearnedSystem]
    losses: Losses = Losses()
    data: Data = Data()
    contrasts: tuple[Contrast, ...] = ()
    photos: tuple[int, ...] = ()
    rehearse: Callable[[Any, int, torch.device], Rehearsal] | None = None
    published: Mapping[str, str] = field(default_factory=dict)
    caution: str = "Trained on synthetic heads only: try Surface too. Needs the default head"
    official: Official | None = None

    def build(self, preset: str, head: ParametricHead, variant: Mapping[str, str]) -> LearnedSystem:
        """The system with fresh weights; its Gaussians start on the surface.

        Args:
            preset: one of :data:`PRESETS`.
            variant: fields of the method's dataclass to change, as text.

        Raises:
            EngineError: there is no such preset or field, or a field takes no such value.
        """
        if preset not in PRESETS:
            raise EngineError(f"There is no preset called {preset}.", f"Choose one of: {', '.join(PRESETS)}.")
        on_surface = replace(getattr(self.config, preset)(), on_surface=True)  # systems need it, see LearnedSystem
        return self.system(changed(on_surface, variant, self.config.__name__), head)


@dataclass(frozen=True, eq=False)
class SystemSpec:
    """One way from photos to Gaussians.

    Attributes:
        name: by which it is asked for, in files and on the command line. label: for people.
        description: one sentence, for tooltips.
        reconstruct: what it does.
        seconds: typically, on two cores, for one photo, and for every Gaussian on top; without its own refinement.
        own_refinement: typical seconds of that; 0 for systems without.
        network: None for systems without weights. Those with some know the default head alone.
        adding: how photos are added to its heads later; None where they cannot be.
        order: its place in lists, ascending.
        prepare: what the head model becomes before anything is tracked on it.
        network_seconds: of a network whose time depends on the machine by far, from the number of photos; on top of
            ``seconds``.
    """

    name: str
    label: str
    description: str
    reconstruct: Reconstruct
    seconds: float
    seconds_per_gaussian: float = 0.0
    own_refinement: float = 0.0
    network: NetworkSpec | None = None
    adding: Adding | None = None
    order: int = 100
    prepare: Callable[[ParametricHead], ParametricHead] = lambda head: head
    network_seconds: Callable[[int], float] | None = None

    @property
    def tooltip(self) -> str:
        """The description, and what users should know beside it."""
        return self.description if self.network is None else f"{self.description}. {self.network.caution}"


def changed(choices: Any, variant: Mapping[str, str], whose: str) -> Any:
    """A dataclass of choices with some of its fields given as text: numbers, ``true``/``false`` or words.

    Args:
        whose: the choices are, for errors.

    Raises:
        EngineError: there is no such field, or it takes no such value.
    """
    known = {item.name: getattr(choices, item.name) for item in fields(choices)}
    changes = {}
    for name, text in variant.items():
        if name not in known or not isinstance(known[name], (bool, int, float, str)):
            raise EngineError(f"{whose} has no choice called {name}.", "See the attributes of its dataclass.")
        kind, words = type(known[name]), get_args(get_type_hints(type(choices))[name])
        try:
            changes[name] = {"true": True, "false": False}[text] if kind is bool else kind(text)
        except (KeyError, ValueError) as error:
            raise EngineError(f"{name} cannot be {text}.", f"{whose} takes a {kind.__name__} there.") from error
        if words and changes[name] not in words:
            raise EngineError(f"{name} cannot be {text}.", f"Choose one of: {', '.join(words)}.")
    return replace(choices, **changes)
