"""`flowpin verify --load`: records what callers are answered under load, and checks it against what was kept."""
