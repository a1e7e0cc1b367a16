"""Published recipes, each pinned to one variant that it names."""
