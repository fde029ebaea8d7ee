"""Files that outlive a process: folders here or in a bucket, run records, the driver's lease."""
