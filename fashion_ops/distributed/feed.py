"""The blocks of ``map_blocks`` on their way to the actors: a Ray actor beside the driver.

A *turn* is the right of an actor to compute one block. Turns are what Ray Data schedules: they are
small and always the same, so Ray Data may repeat any of them. A block stays here until the driver has
its result, and goes to another turn if the node that computes it is gone. The values of the blocks lie
in Ray's object store on the driver's node.
"""

import asyncio
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import ray

LOOK_SECONDS = 1.0  # between two looks at which nodes live


@dataclass
class Block:
    """One unfinished block.

    Attributes:
        name: its name, for messages.
        value: a list with the reference of its value.
        turn: the turn that computes it; -1 while it waits.
        node: node of that turn.
        starts: how often an actor began to compute it.
    """

    name: str
    value: list[Any]
    turn: int = -1
    node: str = ""
    starts: int = 0


class Feed:
    """Keeps the unfinished blocks by number, and says which turn computes which block.

    Its methods are coroutines: one that waits does not keep the others from running.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, Block] = {}
        self._waiting: deque[int] = deque()
        self._by_turn: dict[int, int] = {}
        self._turns = 0  # number of turns that may begin
        self._changed = asyncio.Event()
        self._loads: Counter[str] = Counter()  # begun and not ended, by actor

    async def add(self, number: int, name: str, value: list[Any]) -> None:
        """Add a block; ``value`` is a list with the reference of its value."""
        self._blocks[number] = Block(name, value)
        self._wait_for_turn(number)

    async def done(self, number: int) -> None:
        """Forget a block, whose result is with the driver."""
        block = self._blocks.pop(number, None)
        if block is not None:
            self._by_turn.pop(block.turn, None)

    async def load(self, actor: str) -> int:
        """An actor begins to load its models: how often it died while it did so since ``loaded``."""
        self._loads[actor] += 1
        return self._loads[actor] - 1

    async def loaded(self, actor: str) -> None:
        """An actor has loaded its models, or said why it can't."""
        del self._loads[actor]

    async def turn(self, number: int) -> None:
        """Wait until turn ``number``, counted from 0, may begin."""
        while number >= self._turns:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), LOOK_SECONDS)
            except TimeoutError:
                self._return_lost()

    async def take(self, turn: int, node: str) -> tuple[int, Block] | None:
        """The block of a turn, and its number; None if there is nothing left for this turn.

        Args:
            turn: number of the turn. A repeated turn gets the same block again.
            node: id of the node that computes it.
        """
        number = self._by_turn.get(turn)
        while number is None and self._waiting:
            first = self._waiting.popleft()
            number = first if first in self._blocks else None
        if number is None:
            return None
        block = self._blocks[number]
        block.turn, block.node, block.starts = turn, node, block.starts + 1
        self._by_turn[turn] = number
        return number, block

    def _wait_for_turn(self, number: int) -> None:
        """Let a block wait, and one more turn begin."""
        self._waiting.append(number)
        self._turns += 1
        self._changed.set()

    def _return_lost(self) -> None:
        """Let the blocks wait again whose node is gone.

        Ray repeats a turn where its actor starts again. Without a place for the actor it would wait.
        """
        taken = {number: block for number, block in self._blocks.items() if block.turn >= 0}
        if not taken:
            return
        alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
        for number, block in taken.items():
            if block.node not in alive:
                del self._by_turn[block.turn]
                block.turn = -1
                self._wait_for_turn(number)
