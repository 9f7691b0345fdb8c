"""The server's end of a WebSocket (RFC 6455): messages out of frames, and frames out of messages.

Rules:

- A client's frames are masked, have no reserved bit set, and control frames are whole and short. Anything
  else ends the connection with 1002. A message longer than the limit ends it with 1009.
- A ping is answered by a pong with the same payload; a close frame by one with the same code, and the
  connection closes. Whatever the kind of a message, its bytes are what counts.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Protocol

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
PROTOCOL_ERROR, TOO_BIG = 1002, 1009


def accept(key: str) -> str | None:
    """What the server answers to a client's key; None for one that is not 16 bytes in base64."""
    try:
        if len(base64.b64decode(key, validate=True)) != 16:
            return None
    except (binascii.Error, ValueError):
        return None
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def wants_websocket(headers: Mapping[str, str]) -> bool:
    """Whether a request asks for its connection to become a WebSocket."""
    return _has(headers.get("connection", ""), "upgrade") and _has(headers.get("upgrade", ""), "websocket")


def _has(header: str, token: str) -> bool:
    return token in (part.strip().lower() for part in header.split(","))


class Owner(Protocol):
    """Who uses a WebSocket."""

    def on_message(self, payload: bytes) -> None: ...

    def on_close(self) -> None:
        """The client closes, or has gone. Not called after `close`."""

    def on_drain(self) -> None:
        """What was sent has been taken, after it had not been."""


class WebSocket:
    """Takes over a connection of HTTP/1.1: it is given what asyncio tells of that connection."""

    def __init__(self, transport: asyncio.Transport, owner: Owner, max_message: int) -> None:
        self._transport = transport
        self._owner = owner
        self._limit = max_message
        self._buffer = bytearray()
        self._message: bytearray | None = None
        self._over = False

    @property
    def backlog(self) -> int:
        return self._transport.get_write_buffer_size()

    def send(self, text: bytes) -> None:
        """One text message."""
        if not self._over:
            self._write(TEXT, text)

    def close(self) -> None:
        """Closes the connection; the client is not asked."""
        if not self._over:
            self._over = True
            self._transport.close()

    # What the connection calls.

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while not self._over and self._take_frame():
            continue

    def connection_lost(self) -> None:
        self._end()

    def resume_writing(self) -> None:
        if not self._over:
            self._owner.on_drain()

    # Inside.

    def _take_frame(self) -> bool:
        """Takes one whole frame; False when there is none, or nothing more is wanted."""
        buffer = self._buffer
        if len(buffer) < 2:
            return False
        first, second = buffer[0], buffer[1]
        opcode, final, length = first & 0x0F, bool(first & 0x80), second & 0x7F
        control = opcode >= CLOSE
        if first & 0x70 or not second & 0x80 or (control and (length > 125 or not final)):
            return self._refuse(PROTOCOL_ERROR)
        at = 2
        if length >= 126:
            at += 2 if length == 126 else 8
            if len(buffer) < at:
                return False
            length = int.from_bytes(buffer[2:at], "big")
        if length + len(self._message or b"") > self._limit:
            return self._refuse(TOO_BIG)
        end = at + 4 + length
        if len(buffer) < end:
            return False
        payload = _unmasked(bytes(buffer[at + 4 : end]), bytes(buffer[at : at + 4]))
        del buffer[:end]
        return self._on_control(opcode, payload) if control else self._on_data(opcode, final, payload)

    def _on_control(self, opcode: int, payload: bytes) -> bool:
        if opcode == PING:
            self._write(PONG, payload)
        elif opcode == CLOSE:
            self._write(CLOSE, payload[:2])
            self._transport.close()
            self._end()
        elif opcode != PONG:
            return self._refuse(PROTOCOL_ERROR)
        return True

    def _on_data(self, opcode: int, final: bool, payload: bytes) -> bool:
        if opcode > BINARY or (opcode == CONTINUATION) != (self._message is not None):
            return self._refuse(PROTOCOL_ERROR)
        message = bytearray() if self._message is None else self._message
        message += payload
        self._message = None if final else message
        if final:
            self._owner.on_message(bytes(message))
        return True

    def _refuse(self, code: int) -> bool:
        self._write(CLOSE, code.to_bytes(2, "big"))
        self._transport.close()
        self._end()
        return False

    def _write(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((0x80 | opcode, size))
        elif size < 1 << 16:
            head = bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")
        self._transport.write(head + payload)

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._owner.on_close()


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    pattern = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(pattern, "big")).to_bytes(size, "big")
