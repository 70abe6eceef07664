"""Stage latents: encodes images as grids of code indices, so that training a prior runs no tokenizer."""
