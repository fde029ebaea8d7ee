"""What runs cost: measured profiles, how many share a device, and estimates of a sweep."""
