"""`flowpin up`: starts everything and keeps it running."""
