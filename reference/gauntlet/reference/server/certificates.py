"""What certificates say, and certificates of our own.

Apart from tls.py because `cryptography` is a fifth of what a member would have to load: it is imported when
the first certificate has to be looked at or made.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from gauntlet.reference.server.tls import file_stamp


def check_client(
    raw: bytes, crl_file: str, allowed_names: Sequence[str], allowed_hosts: Sequence[str]
) -> None:
    """Whether a client with this certificate (DER) may come in; empty arguments allow everybody.

    ssl.SSLCertVerificationError ends the handshake.
    """
    certificate = x509.load_der_x509_certificate(raw)
    if crl_file and certificate.serial_number in revoked(crl_file):
        raise ssl.SSLCertVerificationError("transport: certificate serial is revoked")
    if allowed_names and common_name(certificate) not in allowed_names:
        raise ssl.SSLCertVerificationError("client certificate authentication failed")
    if allowed_hosts and not any(names(certificate, host) for host in allowed_hosts):
        raise ssl.SSLCertVerificationError("client certificate authentication failed")


_revoked: dict[str, tuple[tuple[int, ...], frozenset[int]]] = {}


def revoked(path: str) -> frozenset[int]:
    """Serial numbers of a revocation list, PEM or DER; SSLCertVerificationError when it cannot be read."""
    stamp = file_stamp((path,))
    known = _revoked.get(path)
    if known is not None and stamp and known[0] == stamp:
        return known[1]
    try:
        data = Path(path).read_bytes()
        pem = data.lstrip().startswith(b"-----")
        crl = x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
    except (OSError, ValueError) as error:
        raise ssl.SSLCertVerificationError(f"cannot read revocation list {path}: {error}") from None
    serials = frozenset(entry.serial_number for entry in crl)
    _revoked[path] = (stamp, serials)
    return serials


def common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def subject_names(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    """DNS names and IP addresses, as text."""
    try:
        names_ = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [], []
    addresses = [str(address) for address in names_.get_values_for_type(x509.IPAddress)]
    return names_.get_values_for_type(x509.DNSName), addresses


def hosts_of(raw: bytes) -> tuple[list[str], list[str]]:
    """DNS names and IP addresses in a certificate (DER)."""
    return subject_names(x509.load_der_x509_certificate(raw))


def names(certificate: x509.Certificate, host: str) -> bool:
    """Whether the certificate is for this host name or address; a wildcard stands for one label."""
    dns, addresses = subject_names(certificate)
    try:
        return str(ipaddress.ip_address(host.strip("[]"))) in addresses
    except ValueError:
        pass
    wanted = host.lower().rstrip(".")
    for name in dns:
        offered = name.lower().rstrip(".")
        if offered == wanted:
            return True
        if offered.startswith("*.") and wanted.partition(".")[2] == offered[2:]:
            return True
    return False


def make(cert: Path, key: Path, hosts: Sequence[str], years: int) -> None:
    """A self-signed certificate and its key, in PEM files."""
    private = ec.generate_private_key(ec.SECP521R1())
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "etcd")])
    now = datetime.now(UTC)
    usage = partial(
        x509.KeyUsage,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    names_ = [_general_name(host) for host in sorted(set(hosts)) if host]
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=365 * years))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage(digital_signature=True, key_encipherment=True, crl_sign=True), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
    )
    if names_:
        builder = builder.add_extension(x509.SubjectAlternativeName(names_), critical=False)
    certificate = builder.sign(private, hashes.SHA512())
    cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    with open(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
