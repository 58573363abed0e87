"""Gradient clipping: of the whole gradient, of each variable, of each number."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

Clip = Literal["global", "variable", "value"]


class Clipper:
    """Clips the gradients of a network between the backward pass and the optimiser's step.

    `global` scales all gradients together so that their norm is at most `limit`; `variable` does
    so with each parameter on its own; `value` limits each number to ±`limit`. The last two are
    TensorFlow's, for which the gradient of an embedding is a list of rows, one for each token
    that was looked up: the norm is that of the rows, and numbers are limited in the rows, before
    the rows of one word are summed. A limit of 0 clips nothing.

    Embeddings are watched until `close`.
    """

    def __init__(self, network: nn.Module, kind: Clip, limit: float) -> None:
        """Watch the embeddings of `network`."""
        self.network, self.kind, self.limit = network, kind, limit
        self._rows: dict[Tensor, Tensor] = {}  # square sums of embedding gradients, by weight
        embeddings = [m for m in network.modules() if isinstance(m, nn.Embedding)]
        self._words = {m.weight for m in embeddings}
        by_rows = bool(limit) and kind != "global"
        self._hooks = [m.register_forward_hook(self._watch) for m in embeddings if by_rows]

    def apply(self) -> None:
        """Clip the gradients that are there."""
        parameters = [p for p in self.network.parameters() if p.grad is not None]
        if not self.limit:
            return
        if self.kind == "global":
            nn.utils.clip_grad_norm_(parameters, self.limit)
            return
        for parameter in parameters:
            gradient = parameter.grad
            if gradient is None or (self.kind == "value" and parameter in self._words):
                continue
            if self.kind == "value":
                gradient.clamp_(-self.limit, self.limit)
                continue
            squares = self._rows.get(parameter)
            norm = gradient.norm() if squares is None else squares.sqrt()
            gradient.mul_(self.limit / norm.clamp(min=self.limit))
        self._rows.clear()

    def close(self) -> None:
        """Stop watching."""
        for hook in self._hooks:
            hook.remove()

    def _watch(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        del inputs
        if output.requires_grad:
            weight = module.get_parameter("weight")
            output.register_hook(lambda gradient: self._on_rows(weight, gradient))

    def _on_rows(self, weight: Tensor, rows: Tensor) -> Tensor | None:
        """What is to become of the rows' gradient; None leaves it."""
        if self.kind == "value":
            return rows.clamp(-self.limit, self.limit)
        before = self._rows.get(weight)
        squares = rows.detach().square().sum()
        self._rows[weight] = squares if before is None else before + squares
        return None
