"""What methods compute: one class per method, and the parts that several share."""
