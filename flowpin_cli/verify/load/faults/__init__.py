"""Faults in the installation that the run itself has started, and in no other."""
