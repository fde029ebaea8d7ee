"""Metrics as counts that add up over batches and workers."""
