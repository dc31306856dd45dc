"""`flowpin verify`: whether the promises about history hold in an installation, at rest and under load."""
