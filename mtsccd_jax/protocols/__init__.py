"""One file per task: the few lines that connect data, network, numerics and report for one table of a paper."""
