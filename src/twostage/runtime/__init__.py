"""What all stages use: files, checksums, jobs, the training loop. Imports no stage."""
