"""Networks of the benchmark, and the norm and dropout layers that let workers share one batch."""
