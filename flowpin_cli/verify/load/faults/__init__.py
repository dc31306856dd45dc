"""What a run does to the installation that it started itself; never to another."""
