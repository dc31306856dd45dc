"""Supplies the router with routes and replicas."""
