"""Reproducible research on two-stage image synthesis: README.md says what, conf/ how much, planning/ in which order."""
