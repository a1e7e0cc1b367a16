"""What training costs, in time and memory: what `scratchgrad-bench train` and `memory` measure."""
