"""The program of zygotes and replicas. It runs in a runtime's Python: standard library and `dynamiq` only."""
