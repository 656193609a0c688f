"""The data sets: sources of images and labels, checks, quarantine, tables and image shards."""
