"""The runs of a sweep: searches, selections and final runs. Without Ray and torch."""
