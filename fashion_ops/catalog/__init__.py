"""How images and labels come in: sources, checks, quarantine, tables, shards, the wardrobe."""
