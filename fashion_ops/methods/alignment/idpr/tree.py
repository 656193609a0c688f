"""Max-sum over a tree: the best configuration of a model with one unary a node and one term a link."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

Pairwise = Callable[[int], Tensor]  # link -> scores (B, cells of its first end, cells of its second)


def max_sum(
    unary: Float[Tensor, "b n g"], links: Sequence[tuple[int, int]], pairwise: Pairwise
) -> Int[Tensor, "b n"]:
    """The cells of the best configuration.

    Args:
        unary: score of each node at each of g cells.
        links: n - 1 pairs that join all nodes, in any order and direction.
        pairwise: score of a link's two ends at every pair of cells; asked once a link.

    Raises:
        ValueError: the links are no tree.
    """
    b, n, _ = unary.shape
    order = _from_root(n, links)
    score = unary.clone()
    best: dict[int, Tensor] = {}
    for node, parent, link in reversed(order[1:]):
        pair = pairwise(link)
        if links[link][0] == parent:
            pair = pair.transpose(1, 2)  # (B, node's cells, parent's cells)
        total, best[node] = (score[:, node, :, None] + pair).max(dim=1)
        score[:, parent] += total
    chosen = unary.new_zeros(b, n, dtype=torch.long)
    chosen[:, order[0][0]] = score[:, order[0][0]].argmax(-1)
    for node, parent, _ in order[1:]:
        chosen[:, node] = best[node].gather(1, chosen[:, parent, None])[:, 0]
    return chosen


def _from_root(n: int, links: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(node, its parent, the link between them) of every node, parents first."""
    order, seen = [(links[0][0] if links else 0, -1, -1)], {links[0][0] if links else 0}
    for node, _, _ in order:
        for k, (a, b) in enumerate(links):
            other = b if a == node else a if b == node else None
            if other is not None and other not in seen:
                seen.add(other)
                order.append((other, node, k))
    if len(order) != n or len(links) != n - 1:
        raise ValueError(f"links {list(links)} are no tree over {n} nodes")
    return order
