"""What `conf/` holds: names, types and ranges, and how files and overrides become one tree."""
