"""Additions as another package would make them: each a declaration in one file."""
