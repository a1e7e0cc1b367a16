"""What one does with text and a model: the tokenizer, generation, runs on disk, and their command lines."""
