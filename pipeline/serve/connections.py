"""A connection on which nobody asks anything is closed: who opens five hundred of them would keep everybody else out."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

SECONDS_TO_ASK = 30.0
"""Within which the first line and all headers of a request have to come."""


class Impatient(H11Protocol):
    """uvicorn's HTTP/1.1, which by itself waits for ever for the headers of a first request, and for those that trickle in."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Look at the connection from time to time."""
        super().connection_made(transport)
        self.loop.call_later(SECONDS_TO_ASK, self._look, None)

    def _look(self, before: Any) -> None:
        """Close it if the last request, none perhaps, was the last one before too, and is answered."""
        if self.transport.is_closing():
            return
        if self.cycle is before and (before is None or before.response_complete):
            self.transport.close()
        else:
            self.loop.call_later(SECONDS_TO_ASK, self._look, self.cycle)
