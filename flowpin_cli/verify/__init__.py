"""`flowpin verify`: checks whether an installation keeps the promises about history, at rest and under load."""
