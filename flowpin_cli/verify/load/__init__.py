"""`flowpin verify --load`: records the answers to callers under load, and compares them with the stored data."""
