"""Networks with a part that keeps its weights while the rest is trained."""

from typing import Self

from torch import nn


class Freezing(nn.Module):
    """Base of networks whose backbone can be frozen.

    A frozen part gets no gradient, and its batch norms keep their statistics in training.
    """

    def __init__(self) -> None:
        super().__init__()
        self._frozen: list[str] = []

    def freeze(self, part: nn.Module) -> None:
        """Freeze a part of this network.

        Raises:
            ValueError: it is no part of this network.
        """
        names = [name for name, module in self.named_modules() if module is part]
        if not names:
            raise ValueError(f"{type(part).__name__} is no part of this {type(self).__name__}")
        part.requires_grad_(False)
        self._frozen.append(names[0])
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of everything but the frozen parts, which stay in eval mode."""
        super().train(mode)
        for name in self._frozen:
            self.get_submodule(name).eval()
        return self
