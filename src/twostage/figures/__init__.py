"""Tables and figures, drawn from stored numbers alone."""
