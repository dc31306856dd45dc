"""The console: Flowpin's web pages. It is a client of the contracts and stores no data."""
