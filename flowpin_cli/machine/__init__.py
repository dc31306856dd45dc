"""What an installation on one machine needs of the operating system: data folder, processes, supervision."""
