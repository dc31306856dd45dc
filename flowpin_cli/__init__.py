"""The command line `flowpin`, and everything that runs Flowpin on one machine. No other package imports it."""
