"""What a city costs that a network has not seen: one is left out after the other.

Rows of this task sum up rows of scenes or of change. Its protocols are theirs with a suffix.
"""

from mtsccd_jax.tasks.change import METHODS

# Protocol of a shift row -> that of the rows that it sums up.
SUMS_UP = {f"{protocol}_shift": protocol for protocol in ("scene", *METHODS)}
# The split of a shift row.
SPLIT = "every_city"
