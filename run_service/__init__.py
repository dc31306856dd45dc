"""Runs what is deployed: answers the calls of apps, and keeps the processes that serve them."""
