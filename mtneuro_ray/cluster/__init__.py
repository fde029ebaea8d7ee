"""Where runs are executed: in this process, or on a Ray cluster. The only package that imports ray."""
