"""One table of every technique of the papers, each by itself on one common baseline."""

TABLES = ("everything",)
