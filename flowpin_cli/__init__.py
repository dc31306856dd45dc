"""The command line `flowpin`, and all that runs Flowpin on one machine. Nothing imports it."""
