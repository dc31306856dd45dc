"""Backups of a data folder: made, checked and restored."""
