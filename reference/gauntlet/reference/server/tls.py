"""TLS contexts out of certificate files, for listening and for dialing.

Rules (etcd's transport package):

- Certificates are read again when their files change: open connections keep theirs, new ones get the new.
- A trusted CA, or client-cert-auth, makes client certificates necessary on a listener.
- After the handshake a client's certificate must pass the revocation list (a file, read anew when it
  changes), and its common name or one of its hosts must be allowed where such lists were given.
- A member with auto-TLS makes a self-signed certificate, keeps it in its data directory, and, dialing, trusts
  whoever answers.
- On the peer port a certificate that names addresses must name the one it comes from (`AddressChecked`).

certificates.py, which loads a large library, is imported where there is a certificate to look at.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from gauntlet.api.wire.http_types import HttpHandler, HttpRequest, HttpResponder
from gauntlet.reference.server.flags import UsageError
from gauntlet.reference.server.settings import TlsFiles, TlsSettings

VERSIONS = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}
# OpenSSL's names of the cipher suites that can be chosen, by the names Go gives them.
_TLS13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
SUITES = {
    **{
        f"TLS_ECDHE_{kind}_WITH_{cipher.replace('-', '_')}": f"ECDHE-{kind}-{openssl}"
        for kind in ("RSA", "ECDSA")
        for cipher, openssl in (
            ("AES-128-GCM-SHA256", "AES128-GCM-SHA256"),
            ("AES-256-GCM-SHA384", "AES256-GCM-SHA384"),
            ("AES-128-CBC-SHA256", "AES128-SHA256"),
            ("AES-128-CBC-SHA", "AES128-SHA"),
            ("AES-256-CBC-SHA", "AES256-SHA"),
            ("CHACHA20-POLY1305-SHA256", "CHACHA20-POLY1305"),
            ("CHACHA20-POLY1305", "CHACHA20-POLY1305"),
        )
    },
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}


class _Checked(ssl.SSLObject):
    """A connection whose peer is looked at once the handshake is done."""

    def do_handshake(self) -> None:
        context = self.context
        assert isinstance(context, FileContext)
        try:
            super().do_handshake()
            context.check_peer(self)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise  # goes on when more has arrived
        except ssl.SSLError as error:
            if context.on_rejected is not None:
                context.on_rejected(str(error.args[-1]))
            raise


class FileContext(ssl.SSLContext):
    """A context that follows its certificate files. Made by `server_context` and `client_context`."""

    sslobject_class = _Checked
    on_rejected: Callable[[str], None] | None = None
    """Hears why a handshake failed."""
    _pair: tuple[str, str] = ("", "")
    _stamp: tuple[int, ...] = ()
    _crl_file = ""
    _allowed_names: tuple[str, ...] = ()
    _allowed_hosts: tuple[str, ...] = ()

    def follow(self, cert_file: str, key_file: str) -> Self:
        """UsageError when the files cannot be used now; later, a bad change is not taken over."""
        self._pair = (cert_file, key_file)
        try:
            self.load_cert_chain(cert_file, key_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(f"cannot use certificate {cert_file} with key {key_file}: {error}") from None
        self._stamp = file_stamp(self._pair)
        return self

    def check(self, files: TlsFiles) -> Self:
        """Whom to let in, beyond what the CA says."""
        self._crl_file = files.crl_file
        self._allowed_names = files.allowed_names
        self._allowed_hosts = files.allowed_hosts
        return self

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Every new connection begins here."""
        if self._pair[0]:
            stamp = file_stamp(self._pair)
            if stamp and stamp != self._stamp:
                try:
                    self.load_cert_chain(*self._pair)
                    self._stamp = stamp
                except (OSError, ssl.SSLError):
                    pass  # half a pair is there: the next connection tries again
        return super().wrap_bio(*args, **kwargs)

    def check_peer(self, connection: ssl.SSLObject) -> None:
        """ssl.SSLCertVerificationError ends the handshake."""
        if not (self._crl_file or self._allowed_names or self._allowed_hosts):
            return
        raw = connection.getpeercert(binary_form=True)
        if raw is None:
            if self.verify_mode is ssl.CERT_REQUIRED:
                raise ssl.SSLCertVerificationError("no certificate")
            return
        from gauntlet.reference.server.certificates import check_client

        check_client(raw, self._crl_file, self._allowed_names, self._allowed_hosts)


def server_context(files: TlsFiles, settings: TlsSettings) -> FileContext:
    """For a listener. UsageError when files are missing or unusable."""
    context = FileContext(ssl.PROTOCOL_TLS_SERVER)
    _bounds(context, settings)
    context.follow(files.cert_file, files.key_file)
    if files.trusted_ca_file or files.client_cert_auth:
        context.verify_mode = ssl.CERT_REQUIRED
        if files.trusted_ca_file:
            _trust(context, files.trusted_ca_file)
        else:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    return context.check(files)


def client_context(files: TlsFiles, settings: TlsSettings) -> FileContext:
    """For dialing a port that has these settings, too."""
    context = FileContext(ssl.PROTOCOL_TLS_CLIENT)
    _bounds(context, settings)
    if files.auto and not files.trusted_ca_file:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif files.trusted_ca_file:
        _trust(context, files.trusted_ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    cert, key = files.client_cert_file or files.cert_file, files.client_key_file or files.key_file
    if cert:
        context.follow(cert, key)
    return context


def _bounds(context: ssl.SSLContext, settings: TlsSettings) -> None:
    context.minimum_version = VERSIONS.get(settings.min_version, ssl.TLSVersion.TLSv1_2)
    if settings.max_version:
        context.maximum_version = VERSIONS[settings.max_version]
    chosen = []
    for suite in settings.cipher_suites:
        if suite in _TLS13:
            continue  # TLS 1.3's are not a choice, in Go neither
        if suite not in SUITES:
            raise UsageError(f'unexpected TLS cipher suite "{suite}"')
        chosen.append(SUITES[suite])
    if chosen:
        context.set_ciphers(":".join(chosen))


def _trust(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"cannot use trusted CA file {path}: {error}") from None


def file_stamp(paths: Sequence[str]) -> tuple[int, ...]:
    """What changes when the files do; empty while one of them is missing."""
    try:
        found = [os.stat(path) for path in paths]
    except OSError:
        return ()
    return tuple(number for one in found for number in (one.st_mtime_ns, one.st_ino, one.st_size))


class AddressChecked:
    """An HTTP handler in front of another: a client certificate that names addresses must name the client's.

    Names that are not addresses are resolved by `resolve(name)`, which gives the addresses of a host.
    """

    def __init__(self, handler: HttpHandler, resolve: Any) -> None:
        self._handler = handler
        self._resolve = resolve
        self._passed: dict[tuple[bytes, str], bool] = {}

    def __call__(self, request: HttpRequest, responder: HttpResponder) -> None:
        connection = request.transport_info("ssl_object")
        raw = connection.getpeercert(binary_form=True) if connection is not None else None
        if raw is not None and not self._allowed(raw, request.peer.rpartition(":")[0].strip("[]")):
            responder.abort()
            return
        self._handler(request, responder)

    def _allowed(self, raw: bytes, address: str) -> bool:
        known = self._passed.get((raw, address))
        if known is None:
            if len(self._passed) > 1000:
                self._passed.clear()
            known = self._passed[raw, address] = self._look(raw, address)
        return known

    def _look(self, raw: bytes, address: str) -> bool:
        from gauntlet.reference.server.certificates import hosts_of

        dns, addresses = hosts_of(raw)
        if not dns and not addresses:
            return True
        if address in addresses:
            return True
        return any(address in self._resolve(name) for name in dns if not name.startswith("*."))


def with_own_certificate(files: TlsFiles, directory: Path, urls: Sequence[str], years: int) -> TlsFiles:
    """`files` with a certificate from `directory`, made there first if there is none."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    if not (cert.exists() and key.exists()):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        from gauntlet.reference.server.certificates import make

        make(cert, key, [urlsplit(url).hostname or "" for url in urls], years)
    return replace(
        files,
        cert_file=str(cert),
        key_file=str(key),
        client_cert_file=str(cert),
        client_key_file=str(key),
    )
