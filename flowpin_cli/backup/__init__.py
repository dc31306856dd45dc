"""Creates, checks and restores backups of a data folder."""
