"""The HTTP listener of apps. It finds the deployment of a call, checks the caller, and writes the answer."""
