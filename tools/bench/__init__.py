"""How fast: what `scratchgrad-bench` measures that trains nothing, beside a peer where one is installed."""
