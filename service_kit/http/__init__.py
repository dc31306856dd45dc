"""The HTTP listener: connections, bodies, limits, the error envelope. The gateway wires it."""
