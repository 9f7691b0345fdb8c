"""--auth-token jwt: the keys and the method of signed tokens.

Apart from tokens.py because the libraries it needs are slow to load, and most members have simple tokens.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from gauntlet.reference.auth.signed import DEFAULT_TTL, SignedTokens
from gauntlet.reference.server.flags import UsageError, parse_duration

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_EC = ("ES256", "ES384", "ES512")
_HMAC = ("HS256", "HS384", "HS512")
_KINDS: dict[str, tuple[type[Any], type[Any]]] = {
    **dict.fromkeys(_RSA, (rsa.RSAPrivateKey, rsa.RSAPublicKey)),
    **dict.fromkeys(_EC, (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey)),
    "EdDSA": (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey),
}


def signed_tokens(options: Mapping[str, str]) -> SignedTokens:
    """The provider for the options behind `jwt,`. UsageError says what is wrong."""
    method = options.get("sign-method", "")
    try:
        ttl = parse_duration(options["ttl"]) if options.get("ttl") else DEFAULT_TTL
    except ValueError:
        raise UsageError(f"--auth-token: ttl={options['ttl']} is not a duration") from None
    public, private = _read(options, "pub-key"), _read(options, "priv-key")
    if method in _HMAC:
        if not private:
            raise UsageError(f"--auth-token: {method} needs priv-key")
        return SignedTokens(method, private, private, ttl, time.time)
    if method not in _KINDS:
        raise UsageError(f"--auth-token: sign-method={method} is not a known method")
    verify_key, signing_key = _key_pair(method, public, private)
    return SignedTokens(method, verify_key, signing_key, ttl, time.time)


def _key_pair(method: str, public: bytes, private: bytes) -> tuple[Any, Any | None]:
    private_kind, public_kind = _KINDS[method]
    verify_key: Any = None
    signing_key: Any = None
    try:
        if public:
            verify_key = _public_key(public)
        if private:
            signing_key = load_pem_private_key(private, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"--auth-token: a key file cannot be used ({error})") from error
    if signing_key is None and verify_key is None:
        raise UsageError(f"--auth-token: {method} needs pub-key, priv-key or both")
    if signing_key is not None:
        if not isinstance(signing_key, private_kind):
            raise UsageError(f"--auth-token: priv-key is no key for {method}")
        derived = signing_key.public_key()
        if verify_key is not None and verify_key != derived:
            raise UsageError("--auth-token: the public and private keys do not match")
        verify_key = derived
    if not isinstance(verify_key, public_kind):
        raise UsageError(f"--auth-token: pub-key is no key for {method}")
    return verify_key, signing_key


def _public_key(data: bytes) -> Any:
    if b"BEGIN CERTIFICATE" in data:
        return x509.load_pem_x509_certificate(data).public_key()
    return load_pem_public_key(data)


def _read(options: Mapping[str, str], name: str) -> bytes:
    path = options.get(name)
    if not path:
        return b""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"--auth-token: cannot read {name}={path}: {error.strerror}") from error
