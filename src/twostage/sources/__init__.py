"""Where everything that is downloaded comes from: addresses, checksums, the user cache. Imports no stage."""
