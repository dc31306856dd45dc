"""The program of zygotes and replicas. It runs in a runtime's Python, so it imports only the standard library and
`dynamiq`."""
