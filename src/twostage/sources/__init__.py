"""Everything that is downloaded: addresses, checksums and the user cache. Imports no stage."""
