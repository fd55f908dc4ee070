"""What a person looks at: figures and tables of a training run."""

from __future__ import annotations

from steepest.report.confusion import confusion_matrix, format_confusion_matrix
from steepest.report.figures import TrainingRun, loss_figure, training_figure

__all__ = [
    "TrainingRun",
    "confusion_matrix",
    "format_confusion_matrix",
    "loss_figure",
    "training_figure",
]
