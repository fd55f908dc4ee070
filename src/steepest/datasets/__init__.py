"""Data sets of images to learn from: one that ships with the package, and files of one's own."""

from steepest.datasets.digits import load_digits
from steepest.datasets.image_dataset import ImageDataset, LabelledImages
from steepest.datasets.mnist import load_mnist

__all__ = ["ImageDataset", "LabelledImages", "load_digits", "load_mnist"]
