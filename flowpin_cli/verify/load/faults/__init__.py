"""Faults in the run's own installation."""
