"""Plans of studies that are more than rows under one change."""
