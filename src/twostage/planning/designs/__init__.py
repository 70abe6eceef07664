"""Plans of experiments that are more than rows under one change."""
