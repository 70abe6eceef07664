"""What every stage stands on: files, checksums, jobs, the training loop. Knows no stage."""
