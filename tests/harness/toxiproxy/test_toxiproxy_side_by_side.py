"""The embedded server answers every request as the real one does: status, body, content type."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
import requests

# method, path, body; in order, on servers that start empty. Bodies are sent as they are.
EXCHANGES: list[tuple[str, str, str]] = [
    ("GET", "/proxies", ""),
    ("POST", "/proxies", '{"name":"a","upstream":"127.0.0.1:1","listen":"127.0.0.1:0"}'),
    ("GET", "/proxies/a", ""),
    ("GET", "/proxies", ""),
    ("POST", "/proxies", '{"name":"wild","upstream":"127.0.0.1:1"}'),
    ("POST", "/proxies", '{"name":"named","upstream":"127.0.0.1:1","listen":"localhost:0"}'),
    ("POST", "/proxies", '{"name":"off","upstream":"127.0.0.1:1","enabled":false}'),
    ("POST", "/proxies", '{"Name":"Case","UPSTREAM":"h:1","listen":"127.0.0.1:0","unknown":[1,{"x":null}]}'),
    ("POST", "/proxies", '{"name":"n","upstream":"h:1","listen":null} trailing'),
    ("POST", "/proxies", '{"name":"\\u00e9<&>","upstream":"h:1","enabled":false}'),
    ("GET", "/proxies/%C3%A9%3C%26%3E", ""),
    ("POST", "/proxies", ""),
    ("POST", "/proxies", "   "),
    ("POST", "/proxies", "{"),
    ("POST", "/proxies", '{"name"'),
    ("POST", "/proxies", '{"name" 1}'),
    ("POST", "/proxies", '{"name":"a" "b"}'),
    ("POST", "/proxies", "{name:1}"),
    ("POST", "/proxies", "{'name':1}"),
    ("POST", "/proxies", "nul"),
    ("POST", "/proxies", "nulx"),
    ("POST", "/proxies", "null"),
    ("POST", "/proxies", "[1 2]"),
    ("POST", "/proxies", "[1,]"),
    ("POST", "/proxies", "[]"),
    ("POST", "/proxies", '"text"'),
    ("POST", "/proxies", "12"),
    ("POST", "/proxies", "true"),
    ("POST", "/proxies", '{"name":"x","upstream":-}'),
    ("POST", "/proxies", '{"name":"x","upstream":1.}'),
    ("POST", "/proxies", '{"name":"x","upstream":1e}'),
    ("POST", "/proxies", '{"name":"x\\q"}'),
    ("POST", "/proxies", '{"name":"\\u12x4"}'),
    ("POST", "/proxies", '{"name":"line\nbreak"}'),
    ("POST", "/proxies", '{"name":1}'),
    ("POST", "/proxies", '{"name":1.5}'),
    ("POST", "/proxies", '{"name":true}'),
    ("POST", "/proxies", '{"name":{}}'),
    ("POST", "/proxies", '{"name":[]}'),
    ("POST", "/proxies", '{"name":"x","enabled":"yes"}'),
    ("POST", "/proxies", '{"name":"x","enabled":1,"listen":2}'),
    ("POST", "/proxies", "{}"),
    ("POST", "/proxies", '{"name":"","upstream":"h:1"}'),
    ("POST", "/proxies", '{"name":"b"}'),
    ("POST", "/proxies", '{"name":"a","upstream":"h:1"}'),
    ("POST", "/proxies", '{"name":"b","upstream":"h:1","listen":"zzz"}'),
    ("POST", "/proxies", '{"name":"b","upstream":"h:1","listen":"1:2:3"}'),
    ("POST", "/proxies", '{"name":"b","upstream":"h:1","listen":"127.0.0.1:99999"}'),
    ("POST", "/proxies", '{"name":"b","upstream":"h:1","listen":"192.0.2.1:5"}'),
    ("POST", "/proxies", '{"name":"b","upstream":"h:1","listen":"API"}'),
    ("GET", "/proxies/zz", ""),
    ("POST", "/proxies/zz", "{}"),
    ("DELETE", "/proxies/zz", ""),
    ("PATCH", "/proxies/a", '{"enabled":false}'),
    ("PATCH", "/proxies/a", '{"enabled":true}'),
    ("POST", "/proxies/a", '{"upstream":"127.0.0.1:2"}'),
    ("PATCH", "/proxies/a", '{"listen":"bad"}'),
    ("PATCH", "/proxies/a", '{"listen":"API"}'),
    ("GET", "/proxies/a", ""),
    ("PATCH", "/proxies/a", '{"listen":"127.0.0.1:0","enabled":true}'),
    ("PATCH", "/proxies/a", ""),
    ("PATCH", "/proxies/a", '{"enabled":3}'),
    ("PATCH", "/proxies/off", '{"listen":"127.0.0.1:0"}'),
    ("PATCH", "/proxies/off", '{"enabled":true}'),
    ("GET", "/proxies/a/toxics", ""),
    ("GET", "/proxies/zz/toxics", ""),
    ("POST", "/proxies/zz/toxics", "{}"),
    ("POST", "/proxies/a/toxics", '{"type":"latency","attributes":{"latency":10}}'),
    ("POST", "/proxies/a/toxics", '{"type":"latency","attributes":{"latency":10}}'),
    ("POST", "/proxies/a/toxics", '{"type":"noop","stream":"UPSTREAM","toxicity":0.3}'),
    ("POST", "/proxies/a/toxics", '{"type":"bandwidth","name":"bw","stream":"upstream","toxicity":0}'),
    ("POST", "/proxies/a/toxics", '{"type":"timeout","name":"to","attributes":{"Timeout":7,"more":1}}'),
    ("POST", "/proxies/a/toxics", '{"type":"slow_close","name":"sc","attributes":{"delay":1}}'),
    ("POST", "/proxies/a/toxics", '{"type":"reset_peer","name":"rp","attributes":{"timeout":1}}'),
    ("POST", "/proxies/a/toxics", '{"type":"limit_data","name":"ld","attributes":{"bytes":1}}'),
    ("POST", "/proxies/a/toxics", '{"type":"slicer","name":"sl","attributes":{"average_size":5,"delay":2}}'),
    ("POST", "/proxies/a/toxics", '{"type":"latency","name":"an","attributes":null,"toxicity":0.123456789}'),
    ("GET", "/proxies/a/toxics", ""),
    ("GET", "/proxies/a", ""),
    ("GET", "/proxies/a/toxics/bw", ""),
    ("GET", "/proxies/a/toxics/zz", ""),
    ("POST", "/proxies/a/toxics/bw", '{"attributes":{"rate":5}}'),
    ("PATCH", "/proxies/a/toxics/bw", '{"toxicity":0.5}'),
    ("PATCH", "/proxies/a/toxics/bw", '{"attributes":{"rate":"x"}}'),
    ("PATCH", "/proxies/a/toxics/bw", '{"toxicity":"x"}'),
    ("PATCH", "/proxies/a/toxics/bw", "{"),
    ("PATCH", "/proxies/a/toxics/bw", '{"attributes":5}'),
    ("PATCH", "/proxies/a/toxics/bw", "[]"),
    ("POST", "/proxies/a/toxics", "[]"),
    ("GET", "/proxies?x=/toxics#y", ""),
    ("PATCH", "/proxies/a/toxics/bw", "{}"),
    ("PATCH", "/proxies/a/toxics/zz", "{}"),
    ("PATCH", "/proxies/zz/toxics/zz", "{}"),
    ("POST", "/proxies/a/toxics", '{"type":"nope"}'),
    ("POST", "/proxies/a/toxics", "{}"),
    ("POST", "/proxies/a/toxics", '{"type":"latency","stream":"up"}'),
    ("POST", "/proxies/a/toxics", '{"type":"latency","name":"q","attributes":{"latency":"x"}}'),
    ("POST", "/proxies/a/toxics", '{"type":"latency","name":"q","attributes":{"latency":1.5}}'),
    ("POST", "/proxies/a/toxics", '{"type":"latency","name":"q","attributes":{"latency":1e3}}'),
    (
        "POST",
        "/proxies/a/toxics",
        '{"type":"latency","name":"q","attributes":{"latency":9999999999999999999}}',
    ),
    ("POST", "/proxies/a/toxics", '{"type":"latency","name":"q","attributes":{"latency":true}}'),
    ("POST", "/proxies/a/toxics", '{"type":"slicer","name":"q","attributes":{"average_size":"x"}}'),
    ("POST", "/proxies/a/toxics", '{"type":"latency","name":"q","attributes":5}'),
    ("POST", "/proxies/a/toxics", '{"type":"latency","name":"q","attributes":[]}'),
    ("POST", "/proxies/a/toxics", '{"type":"latency","name":"q","toxicity":"x"}'),
    ("POST", "/proxies/a/toxics", '{"type":"latency","name":"q","toxicity":true}'),
    ("POST", "/proxies/a/toxics", '{"type":5}'),
    ("DELETE", "/proxies/a/toxics/zz", ""),
    ("DELETE", "/proxies/zz/toxics/zz", ""),
    ("DELETE", "/proxies/a/toxics/bw", ""),
    ("POST", "/populate", '[{"name":"a","upstream":"127.0.0.1:2"},{"name":"q"}]'),
    ("POST", "/populate", '[{"upstream":"127.0.0.1:2"}]'),
    (
        "POST",
        "/populate",
        '[{"name":"p1","upstream":"h:2","listen":"127.0.0.1:0"},{"name":"p2","upstream":"z:1","listen":"bad"}]',
    ),
    (
        "POST",
        "/populate",
        '[{"name":"p3","upstream":"h:2","enabled":false},{"name":"p1","upstream":"h:3","listen":"127.0.0.1:0"}]',
    ),
    ("POST", "/populate", "[]"),
    ("POST", "/populate", "{}"),
    ("POST", "/populate", "null"),
    ("POST", "/populate", ""),
    ("POST", "/populate", '[{"name":5}]'),
    ("POST", "/populate", '[{"name":"p1","upstream":"h:3","enabled":5}]'),
    ("POST", "/populate", "[5]"),
    ("POST", "/reset", ""),
    ("GET", "/proxies/a", ""),
    ("DELETE", "/proxies/a", ""),
    ("GET", "/nope", ""),
    ("GET", "/", ""),
    ("GET", "/proxies/", ""),
    ("GET", "/proxies/a/b", ""),
    ("GET", "//proxies", ""),
    ("GET", "/proxies/../version", ""),
    ("GET", "/metrics", ""),
    ("PUT", "/proxies", "{}"),
    ("HEAD", "/version", ""),
    ("GET", "/reset", ""),
    ("DELETE", "/version", ""),
]


def plain(text: str, port: int) -> str:
    """Without what may differ: ports the system chose, and the server's own."""
    text = text.replace(f":{port}", ":API")
    return re.sub(r'("listen":"(?:127\.0\.0\.1|\[::\]|0\.0\.0\.0)):\d+"', r'\1:PORT"', text)


def ask(server: tuple[str, int], method: str, path: str, body: str) -> tuple[int, str, str]:
    host, port = server
    body = body.replace('"API"', f'"{host}:{port}"')
    with requests.Session() as session:
        # The library would tidy the path; it must go out as it stands.
        request = session.prepare_request(requests.Request(method, f"http://{host}:{port}/", data=body))
        request.url = f"http://{host}:{port}{path}"
        response = session.send(request, allow_redirects=False, timeout=10)
    where = response.headers.get("Location", "")
    kind = response.headers.get("Content-Type", "") if response.content else ""
    return response.status_code, f"{kind}{where}", plain(response.text, port)


def clear(server: tuple[str, int]) -> None:
    host, port = server
    for name in requests.get(f"http://{host}:{port}/proxies", timeout=10).json():
        requests.delete(f"http://{host}:{port}/proxies/{quote(name, safe='')}", timeout=10)


@pytest.mark.upstream
def test_same_answers(embedded: tuple[str, int], real: tuple[str, int]) -> None:
    clear(embedded)
    clear(real)
    different = []
    for method, path, body in EXCHANGES:
        theirs, ours = ask(real, method, path, body), ask(embedded, method, path, body)
        if theirs != ours:
            different.append(f"{method} {path} {body}\n  real     {theirs}\n  embedded {ours}")
    assert not different, "\n".join(different)


def test_browsers_are_turned_away(server: tuple[str, int]) -> None:
    response = requests.get(
        f"http://{server[0]}:{server[1]}/proxies", headers={"User-Agent": "Mozilla/5.0"}, timeout=10
    )
    assert (response.status_code, response.text) == (403, "User agent not allowed\n")
