"""Names, types and ranges of the config, and how files and overrides become one config tree."""
