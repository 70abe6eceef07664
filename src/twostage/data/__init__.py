"""Data: real images as memory maps per split, with their maps."""
