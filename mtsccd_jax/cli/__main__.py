"""`python -m mtsccd_jax.cli`."""

import sys

from mtsccd_jax.cli import main

sys.exit(main())
