"""Networks of Inception modules: GoogLeNet (the first), Inception v2 and v3."""
