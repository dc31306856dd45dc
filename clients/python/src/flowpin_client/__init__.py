"""Typed gRPC client of Flowpin: the generated stubs, with your token and a deadline on every call."""

from flowpin_client.aio import AsyncClient, open_async_client
from flowpin_client.errors import reason_of
from flowpin_client.sync import Client, open_client

__all__ = ["AsyncClient", "Client", "open_async_client", "open_client", "reason_of"]
