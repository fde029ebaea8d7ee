"""The leaderboard: one static page of submissions."""
