"""One address for those who come with TLS and those who come without."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gauntlet.api.wire.http1_client import HttpClientPool
from gauntlet.api.wire.http_types import HttpRequest, HttpResponder
from gauntlet.api.wire.limits import Limits
from gauntlet.api.wire.server import Server

DEADLINE = 20.0


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "either")])
    now, hour = datetime.datetime.now(datetime.UTC), datetime.timedelta(hours=1)
    host = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - hour).not_valid_after(now + hour)
    builder = builder.add_extension(x509.SubjectAlternativeName([host]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    chain = tmp_path / "chain.pem"
    chain.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        + builder.sign(key, hashes.SHA256()).public_bytes(pem)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain)
    return server, ssl.create_default_context(cafile=str(chain))


def told(request: HttpRequest, responder: HttpResponder) -> None:
    secure = request.transport_info("ssl_object") is not None
    responder.send(200, b"secure" if secure else b"plain")


def test_both_are_served_whatever_others_do(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    at_server, at_client = contexts

    async def go() -> None:
        server = Server({}, told)
        url = await server.listen("https://127.0.0.1:0", at_server, plain_too=True)
        port = int(url.rpartition(":")[2])
        silent, silent_end = await asyncio.open_connection("127.0.0.1", port)
        broken, broken_end = await asyncio.open_connection("127.0.0.1", port)
        broken_end.write(b"\x16no handshake at all")
        for _ in range(3):
            for target, answer in ((url, b"secure"), (f"http://127.0.0.1:{port}", b"plain")):
                pool = HttpClientPool(target, tls=at_client)
                assert (await pool.fetch("GET", "/", timeout=DEADLINE)).body == answer
                pool.close()
        async with asyncio.timeout(DEADLINE):
            await broken.read()  # The server has hung up.
        await server.close()
        async with asyncio.timeout(DEADLINE):
            assert await silent.read() == b""
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)
        silent_end.close()
        broken_end.close()

    asyncio.run(go())


def test_who_says_nothing_is_sent_away(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async def go() -> None:
        server = Server({}, told, limits=Limits(preface_timeout=0.2))
        url = await server.listen("https://127.0.0.1:0", contexts[0], plain_too=True)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        async with asyncio.timeout(DEADLINE):
            assert await reader.read() == b""
        writer.close()
        await server.close()

    asyncio.run(go())
