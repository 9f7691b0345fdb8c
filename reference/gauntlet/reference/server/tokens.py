"""--auth-token: `simple`, or `jwt,sign-method=...,pub-key=...,priv-key=...,ttl=...`."""

from __future__ import annotations

from gauntlet.reference.auth.tokens import SimpleTokens, TokenProvider
from gauntlet.reference.server.flags import UsageError


def make_tokens(option: str, simple_ttl: float) -> TokenProvider:
    """The provider that --auth-token asks for; `simple_ttl` in seconds. UsageError says what is wrong."""
    kind, *pairs = option.split(",")
    options: dict[str, str] = {}
    for pair in pairs:
        name, *values = pair.split("=")
        if len(values) != 1 or name in options:
            raise UsageError(f"--auth-token: {pair!r} is not of the form name=value, or comes twice")
        options[name] = values[0]
    if kind == "simple":
        return SimpleTokens(simple_ttl)
    if kind == "jwt":
        from gauntlet.reference.server.signed_tokens import signed_tokens

        return signed_tokens(options)
    raise UsageError(f"--auth-token: {kind!r} is neither simple nor jwt")
