"""What is kept of a person's photos, so that more can be added later (FFAvatar, arXiv 2606.30347)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine.atomic import atomic_write
from engine.errors import AvatarError
from engine.tensor_files import UNREADABLE, describe, read_about


@dataclass(frozen=True)
class TokenMemory:
    """The tokens of V photos of each of B people, as they are before photos look at each other.

    How photos appear to one another changes with every new one; what is kept here is all that belongs to one photo
    alone, and by far the dearest part. Nothing in it tells the photos' order. That this is what to keep is ours.

    Attributes:
        tokens: [B, V, 2 + L, C]: camera, motion, then patches row by row.
        rows: of the patches, L = rows · columns.
        weights: which weights made the tokens (their file's sha256); tokens of different weights do not mix.
    """

    tokens: torch.Tensor
    rows: int
    weights: str = ""

    def extended(self, other: TokenMemory) -> TokenMemory:
        """Both memories' photos of the same people.

        Raises:
            AvatarError: they were made by different weights, or from photos of different size.
        """
        alike = [(m.weights, m.rows, m.tokens.shape[0], m.tokens.shape[2:]) for m in (self, other)]
        if alike[0] != alike[1]:
            raise AvatarError(
                "The new photos' tokens do not fit the saved ones: other weights or another size made them.",
                "Reconstruct the head from all its photos at once.",
            )
        return TokenMemory(torch.cat((self.tokens, other.tokens), dim=1), self.rows, self.weights)

    def save(self, path: Path) -> None:
        """Write one safetensors file.

        Raises:
            OutputError: the file cannot be written.
        """
        about = {"memory": describe(rows=self.rows, weights=self.weights)}
        with atomic_write(path) as temporary:
            save_file({"tokens": self.tokens.detach().cpu().contiguous()}, temporary, about)

    @classmethod
    def load(cls, path: Path) -> TokenMemory:
        """Read a file that :meth:`save` wrote.

        Raises:
            AvatarError: it is missing, damaged or something else.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = read_about(file, "memory", path.name, AvatarError)
                memory = cls(file.get_tensor("tokens"), int(about["rows"]), str(about["weights"]))
        except UNREADABLE as error:
            raise AvatarError(
                f"{path.name} is no token memory, or a damaged one.", "Reconstruct the head from its photos again."
            ) from error
        if memory.tokens.ndim != 4 or memory.rows < 1 or (memory.tokens.shape[2] - 2) % memory.rows:
            raise AvatarError(
                f"{path.name} holds tokens of the wrong shape.", "Reconstruct the head from its photos again."
            )
        return memory
