"""Stage 3: images as grids of code indices, so that a prior never runs a tokenizer."""
