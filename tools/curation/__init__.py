"""From raw sources to text worth training on: one file per step, the same bytes for any number of workers."""
