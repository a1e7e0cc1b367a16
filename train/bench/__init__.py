"""How fast, and in how much memory: what `scratchgrad-bench` measures, beside a peer where one is installed."""
