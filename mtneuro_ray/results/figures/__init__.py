"""Pictures of runs and of what they predict. Knows matplotlib, and no torch and no ray."""
