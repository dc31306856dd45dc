"""The HTTP listener of apps: which deployment a call is for, who may call, how the answer is written."""
