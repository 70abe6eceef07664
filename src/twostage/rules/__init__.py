"""What the Snakefile looks up: the plan as inputs and outputs of rules, and who is at work in the clone."""
