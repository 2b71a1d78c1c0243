"""The pure core: records, facts, decisions. No clock, no randomness, no I/O (held by a lint rule)."""
