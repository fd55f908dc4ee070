"""Descent: batches, step sizes, optimizers, and the loop that puts them together.

``data`` gives batches, ``step_sizes`` and ``optimizers`` are what they are called, ``step`` is one
step as a single function, ``loop`` takes one after the other, ``diagnose`` finds what was not
finite, ``result`` is what the user gets, and ``textbook`` has the two lines to write a loop of
one's own with.
"""

from steepest.descend import optimizers, step_sizes
from steepest.descend.loop import descend
from steepest.descend.optimizers import Optimizer
from steepest.descend.result import Descent, StepInfo, StopReason
from steepest.descend.textbook import evaluate_gradient, sample_training_data

__all__ = [
    "Descent",
    "Optimizer",
    "StepInfo",
    "StopReason",
    "descend",
    "evaluate_gradient",
    "optimizers",
    "sample_training_data",
    "step_sizes",
]
