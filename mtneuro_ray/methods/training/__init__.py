"""Implementations of methods, one class per method, and the parts that several share."""
