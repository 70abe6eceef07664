"""What a person asks of the command line."""
