"""Owns the schema `workflow`: workflows and their immutable versions."""

from pathlib import Path

SCHEMA = "workflow"
MIGRATIONS = Path(__file__).parent / "migrations"
