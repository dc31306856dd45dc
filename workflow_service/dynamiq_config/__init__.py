"""What the Dynamiq SDK reads and writes: config.yaml out of a flow and back, without importing the SDK."""
