"""Vectors from elsewhere: opened, aligned with products by id, stored as a feature."""
