"""Files that outlive a process: folders on this machine or in a bucket, run records, logs, the lease of a driver."""
