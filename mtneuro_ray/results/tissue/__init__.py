"""From labels to biology: cells, vessels and shares of a label volume, by box and by region, read block by block."""
