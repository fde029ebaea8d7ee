"""The MTNeuro benchmark as a distributed training and tuning platform on Ray."""

__version__ = "0.1.0"
