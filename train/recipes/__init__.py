"""Packaged recipes, found by name: `scratchgrad-train toy.yaml`."""
