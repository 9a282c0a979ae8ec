"""Run the command line: `python -m mtsccd_jax`."""

import sys

from mtsccd_jax.cli import main

sys.exit(main())
