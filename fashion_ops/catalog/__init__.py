"""How pictures and labels come in: sources, checks, quarantine, tables, shards, the wardrobe."""
