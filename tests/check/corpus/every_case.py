"""The corpus: what a gradient check must tell apart, over 400 cases."""

from __future__ import annotations

from tests.check.corpus.case import Case
from tests.check.corpus.noisy_cases import NOISY
from tests.check.corpus.right_cases import RIGHT
from tests.check.corpus.rough_cases import ROUGH
from tests.check.corpus.wrong_cases import WRONG

__all__ = ["CASES"]

CASES: tuple[Case, ...] = (*RIGHT, *WRONG, *ROUGH, *NOISY)
