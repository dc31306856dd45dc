"""The routes and replicas that the router uses."""
