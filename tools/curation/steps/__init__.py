"""One file for each step, which has its name."""
