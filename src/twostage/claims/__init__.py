"""The claims board: what the two papers claim, and what the tables in results/ say to it."""
