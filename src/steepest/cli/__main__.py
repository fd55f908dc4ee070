"""Run the command line with ``python -m steepest.cli``."""

from __future__ import annotations

import sys

from steepest.cli.entry_point import main

sys.exit(main())
