"""One file for each source of examples, which has its name."""
