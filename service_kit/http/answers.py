"""Answers whose bytes count until they are written."""

from aiohttp import web

from service_kit.byte_budget import Reservation


class Answer(web.Response):
    """An answer that frees its body and its reserved bytes once the body is written.

    Otherwise, aiohttp keeps an answer until the next request of its connection.
    """

    reservation: Reservation | None = None

    async def write_eof(self, data: bytes = b"") -> None:
        try:
            await super().write_eof(data)
        finally:
            self.body = None
            if self.reservation is not None:
                self.reservation.close()
