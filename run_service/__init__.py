"""Owns the schema `run`: the calls of apps. Its `router/` answers them, its `supply/` has them served."""

from pathlib import Path

SCHEMA = "run"
MIGRATIONS = Path(__file__).parent / "migrations"
