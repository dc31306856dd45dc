"""What a run on one machine needs of the operating system: its data folder, processes, supervision."""
