"""Converts JSON and query strings to messages, and messages to JSON. Converters are compiled once from the
descriptors."""
