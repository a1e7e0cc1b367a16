"""What makes a model: recipes, data, the loop, the ranks it runs on, checkpoints."""
