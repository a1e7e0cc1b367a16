"""One file for each chat template, which has its name."""
