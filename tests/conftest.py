"""What every test stands on: one embedded Postgres per run, a schema per test."""
