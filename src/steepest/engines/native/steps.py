"""One step of training, as a graph and as a program."""

from __future__ import annotations

from dataclasses import dataclass

from steepest.engines.native.listing import listing
from steepest.engines.native.nests import Buffer, MatrixProduct, Program
from steepest.graph import Graph

__all__ = ["StepGraph", "StepKind"]


@dataclass(frozen=True, slots=True)
class StepGraph:
    """One step of training as a graph, and what its inputs and outputs are.

    Attributes
    ----------
    graph : Graph
    changing : frozenset of int
        The ids of captured arrays whose contents may change between runs.
    carried : tuple of (int, int)
        For each weight, and each part of the optimizer's state: its positions among the inputs
        and among the outputs; -1 for what stays as it is.
    finite : frozenset of int
        Positions of the outputs that must be finite: the loss and the weights.
    batch : tuple of int
        Positions of the batch's arrays among the inputs.
    step_size, step : int
        Their positions among the inputs.
    loss : int
        Its position among the outputs.
    """

    graph: Graph
    changing: frozenset[int]
    carried: tuple[tuple[int, int], ...]
    finite: frozenset[int]
    batch: tuple[int, ...]
    step_size: int
    step: int
    loss: int


@dataclass(frozen=True, slots=True)
class StepKind:
    """A step for batches of some size, as a program.

    Attributes
    ----------
    rows : int
        Rows of the batch; 0 where it is all rows, in order.
    gathered : dict from Buffer to MatrixProduct
        The arrays of the batch that a product gathers.
    first_callback : int
    """

    name: str
    step: StepGraph
    program: Program
    homes: dict[Buffer, Buffer]
    rows: int
    gathered: dict[Buffer, MatrixProduct]
    first_callback: int

    def __str__(self) -> str:
        step = self.step
        homes = [(new.position, old.position) for new, old in self.homes.items()]
        gathered = sorted(each.position for each in self.gathered)
        parts = (
            gathered,
            step.carried,
            sorted(step.finite),
            step.batch,
            step.step_size,
            step.step,
            step.loss,
        )
        return f"{self.name} {self.rows} {self.first_callback} {homes} {parts}\n" + listing(
            self.program
        )
