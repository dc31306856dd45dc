"""Converts flows to the Dynamiq SDK's config.yaml and back, without importing the SDK."""
