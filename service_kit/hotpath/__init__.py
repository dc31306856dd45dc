"""Optimizations for throughput. Each module says what it gains and how to remove it."""
