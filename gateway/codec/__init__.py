"""JSON and query strings to messages, messages to JSON: compiled once from the descriptors."""
