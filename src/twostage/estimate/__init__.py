"""What a model counts and what a job costs, without a step of training."""
