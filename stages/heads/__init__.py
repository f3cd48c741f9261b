"""Stage two: merges, architectures, late fusion and their training on cached features."""
