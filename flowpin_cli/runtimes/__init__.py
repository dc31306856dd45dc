"""Runtimes: the Python environments that apps run in, each with one release of the Dynamiq SDK."""
