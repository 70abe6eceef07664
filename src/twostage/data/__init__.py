"""Stage data: images and their maps, as memory maps per split."""
