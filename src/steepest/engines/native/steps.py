"""One step of training, as a graph and as a program."""

from __future__ import annotations

from dataclasses import dataclass

from steepest.engines.native.listing import listing
from steepest.engines.native.nests import Buffer, MatrixProduct, Program
from steepest.engines.native.products import Listed
from steepest.graph import Graph

__all__ = ["BatchRows", "StepGraph", "StepKind"]


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
class BatchRows:
    """How a product reads the rows of a batch where they lie in the data.

    Attributes
    ----------
    buffer : Buffer
        The batch.
    listed : str
        What the numbers of the rows list; see `Product`.
    copies : bool
        Whether it copies the rows to where others read the batch.
    """

    buffer: Buffer
    listed: Listed
    copies: bool


@dataclass(frozen=True, slots=True)
class StepKind:
    """A step for batches of some size, as a program.

    Attributes
    ----------
    rows : int
        Rows of the batch; 0 where it is all rows, in order.
    listed : dict from MatrixProduct to BatchRows
        The products that read rows of the batch where they lie in the data.
    first_callback : int
    """

    name: str
    step: StepGraph
    program: Program
    homes: dict[Buffer, Buffer]
    rows: int
    listed: dict[MatrixProduct, BatchRows]
    first_callback: int

    def __str__(self) -> str:
        step = self.step
        homes = [(new.position, old.position) for new, old in self.homes.items()]
        listed = [
            (self.program.items.index(item), each.buffer.position, each.listed, each.copies)
            for item, each in self.listed.items()
        ]
        parts = (
            listed,
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
