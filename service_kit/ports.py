"""Whether a port is free to listen on."""

import socket


def check_free(host: str, port: int) -> None:
    """Raises OSError unless a new server could listen on host:port now. EADDRINUSE means that another one does."""
    for family, kind, protocol, _, address in socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind, protocol) as probe:
            # Set as servers do. Otherwise, recently closed connections would make the port look taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
