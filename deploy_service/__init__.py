"""Owns the schema `deploy`: apps, deployments and runtimes."""

from pathlib import Path

SCHEMA = "deploy"
MIGRATIONS = Path(__file__).parent / "migrations"
