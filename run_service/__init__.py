"""Owns the schema `run`: the calls of apps. `router/` answers them, `supply/` provides the replicas."""

from pathlib import Path

SCHEMA = "run"
MIGRATIONS = Path(__file__).parent / "migrations"
