"""Task 1 on one real slice: tune spaces, and a representation of multi-scale inputs."""
