"""The data folder, processes and supervision of an installation on one machine."""
