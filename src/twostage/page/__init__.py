"""The page results/index.html: the claims board, every table, figure and sample, in one file, from results/ alone."""
