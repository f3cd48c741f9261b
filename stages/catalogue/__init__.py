"""Everything about the input: reading, cleaning, checks, duplicates, the split."""
