"""Moves of the skin that are smooth by construction: Gaussians that went their own ways would tear and speckle it."""

from __future__ import annotations

from typing import Any

import torch
from scipy import sparse
from scipy.sparse.linalg import SuperLU, splu

from engine.gaussians.binding import triangle_frames
from engine.gaussians.gaussians import BoundGaussians
from engine.heads.rig import Rig
from engine.models.surface.hull import mesh_graph

SPREAD = 6.0  # squared edges of the mesh over which a step is spread
MEMORY = 0.9  # of the usual gradient, kept from one iteration to the next


class Bending:
    """A displacement of the mesh's vertices, and what it moves the Gaussians by.

    It is not the displacement x that is stepped but u = (I + l L) x, which makes a plain step a smooth one: Nicolet,
    Jacobson and Jakob 2021, "Large Steps in Inverse Rendering of Geometry". As there, all of it takes steps of one
    size: Adam's own would make a full step of the faintest gradient, and move what no photo shows.

    The system of equations is scipy's, on the CPU: wherever the Gaussians are, u and its gradient (300 kB) cross once
    each way in an iteration.

    Attributes:
        latent: [V, 3] u, the free parameter.
    """

    def __init__(self, gaussians: BoundGaussians, rig: Rig):
        faces, count = rig.faces, len(rig.neutral)
        self.latent = torch.zeros(count, 3, device=faces.device, requires_grad=True)
        graph = mesh_graph(faces.cpu().numpy(), count)
        laplacian = sparse.csgraph.laplacian(graph) * (count / graph.nnz)
        self._solver = splu(sparse.csc_matrix(sparse.eye(count) + SPREAD * laplacian))
        self._corners = faces.long()[gaussians.triangles]
        self._barycentrics = gaussians.barycentrics
        self._frames = triangle_frames(rig.neutral, faces)[0].transpose(1, 2)[gaussians.triangles]
        self._usual = 0.0

    def moves(self) -> torch.Tensor:
        """[N, 3] metres in the triangles' frames."""
        vertices = _Solve.apply(self.latent, self._solver)
        corners = vertices.index_select(0, self._corners.reshape(-1)).view(-1, 3, 3)
        world = torch.bmm(self._barycentrics[:, None], corners).transpose(1, 2)
        return torch.bmm(self._frames, world)[..., 0]

    def step(self, rate: float) -> None:
        """Go down the gradient, by at most ``rate`` metres anywhere."""
        gradient = self.latent.grad
        if gradient is None:
            return
        with torch.no_grad():
            steep = gradient.norm(dim=1, keepdim=True)
            usual = float(steep.square().mean().sqrt())
            self._usual = max(MEMORY * self._usual, usual)
            if self._usual > 0:
                self.latent -= rate * gradient / steep.clamp_min(self._usual)
        self.latent.grad = None


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, latent: torch.Tensor, solver: SuperLU) -> torch.Tensor:
        ctx.solver = solver
        return torch.from_numpy(solver.solve(latent.detach().double().cpu().numpy())).to(latent)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return torch.from_numpy(ctx.solver.solve(grads[0].double().cpu().numpy())).to(grads[0]), None
