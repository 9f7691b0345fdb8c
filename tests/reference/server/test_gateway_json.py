"""The gateway's JSON: what is read, what is refused and in which words (those of Go's protojson)."""

from __future__ import annotations

import json

import pytest
from gauntlet.api.errors import Code, RpcError
from gauntlet.api.messages import etcdserverpb as pb
from gauntlet.api.messages import services
from gauntlet.reference.server.gateway.decode import JsonError, read_message
from gauntlet.reference.server.gateway.encode import error_body, result_line, to_json
from gauntlet.reference.server.gateway.metadata import call_metadata, timeout
from gauntlet.reference.server.gateway.paths import PATHS
from gauntlet.reference.server.gateway.values import JsonValues
from hypothesis import given
from hypothesis import strategies as st


def read_range(text: str) -> pb.RangeRequest:
    message = pb.RangeRequest()
    read_message(text.encode(), message)
    return message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", pb.RangeRequest()),
        (' { "key" : "YQ==" } ', pb.RangeRequest(key=b"a")),
        ('{"key":"YQ"}', pb.RangeRequest(key=b"a")),
        ('{"key":"_-8="}', pb.RangeRequest(key=b"\xff\xef")),
        ('{"key":null,"limit":null}', pb.RangeRequest()),
        ('{"rangeEnd":"AA=="}', pb.RangeRequest(range_end=b"\x00")),
        ('{"range_end":"AA=="}', pb.RangeRequest(range_end=b"\x00")),
        ('{"limit":5}', pb.RangeRequest(limit=5)),
        ('{"limit":"5"}', pb.RangeRequest(limit=5)),
        ('{"limit":"1e3"}', pb.RangeRequest(limit=1000)),
        ('{"limit":5.0}', pb.RangeRequest(limit=5)),
        ('{"limit":-9223372036854775808}', pb.RangeRequest(limit=-(1 << 63))),
        ('{"sort_order":"DESCEND"}', pb.RangeRequest(sort_order=pb.RangeRequest.DESCEND)),
        ('{"sort_order":2}', pb.RangeRequest(sort_order=pb.RangeRequest.DESCEND)),
        ('{"sort_order":"SIDEWAYS"}', pb.RangeRequest()),
        ('{"nobody":[1,{"a":"}"},[]],"serializable":true}', pb.RangeRequest(serializable=True)),
    ],
)
def test_what_is_read(text: str, message: pb.RangeRequest) -> None:
    assert read_range(text) == message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"key":5}', "proto: (line 1:8): invalid value for bytes field key: 5"),
        ('{"key":\n\n  5}', "proto: (line 3:3): invalid value for bytes field key: 5"),
        ('{"key":"A"}', 'proto: (line 1:8): invalid value for bytes field key: "A"'),
        ('{"key":"+-8="}', 'proto: (line 1:8): invalid value for bytes field key: "+-8="'),
        ('{"limit":1.5}', "proto: (line 1:10): invalid value for int64 field limit: 1.5"),
        ('{"limit":" 1"}', 'proto: (line 1:10): invalid value for int64 field limit: " 1"'),
        ('{"limit":9223372036854775808}', "invalid value for int64 field limit: 9223372036854775808"),
        ('{"limit":true}', "invalid value for int64 field limit: true"),
        ('{"serializable":"true"}', 'invalid value for bool field serializable: "true"'),
        ('{"key":["YQ=="]}', "proto: (line 1:8): invalid value for bytes field key: ["),
        ('{"key":"","key":""}', 'proto: (line 1:11): duplicate field "key"'),
        ("[1]", "proto: syntax error (line 1:1): unexpected token ["),
        ('"a"', 'proto: syntax error (line 1:1): unexpected token "a"'),
        ('{"key":"YQ=="', "unexpected EOF"),
        ('{"key" "YQ=="}', "invalid character '\"' after object key"),
        ("{key:1}", "invalid character 'k' looking for beginning of object key string"),
        ('{"key":"",}', "invalid character '}' looking for beginning of object key string"),
        ('{"key":"" "limit":1}', "invalid character '\"' after object key:value pair"),
        ("[1 2]", "invalid character '2' after array element"),
        ('{"a":tru}', "invalid character '}' in literal true (expecting 'e')"),
        ('{"a":-}', "invalid character '}' in numeric literal"),
        ('{"a":NaN}', "invalid character 'N' looking for beginning of value"),
        ('{"key":"Y\\q"}', "invalid character 'q' in string escape code"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(JsonError) as caught:
        read_range(text)
    assert words in str(caught.value)


def test_two_members_of_a_oneof() -> None:
    text = '{"target":"VERSION","version":"1","value":"YQ=="}'
    with pytest.raises(JsonError, match=r"oneof etcdserverpb\.Compare\.target_union is already set"):
        read_message(text.encode(), pb.Compare())


def test_names_that_are_no_text() -> None:
    with pytest.raises(JsonError):
        read_message(b'{"name":"\\ud800"}', pb.AuthUserAddRequest())
    with pytest.raises(JsonError):
        read_message(b'{"name":"\xff"}', pb.AuthUserAddRequest())


def test_depth_has_an_end() -> None:
    deep = '{"success":[{"request_txn":' * 400 + "{}" + "}]}" * 400
    with pytest.raises(JsonError, match="depth"):
        read_message(deep.encode(), pb.TxnRequest())
    with pytest.raises(JsonError, match="depth"):
        read_message(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", pb.TxnRequest())


def test_what_is_written() -> None:
    response = pb.RangeResponse(count=2**40)
    response.header.revision = 3
    response.kvs.add(key=b"a", value=b"\xff", lease=-1)
    assert json.loads(to_json(response)) == {
        "header": {"revision": "3"},
        "kvs": [{"key": "YQ==", "value": "/w==", "lease": "-1"}],
        "count": "1099511627776",
    }
    event = pb.WatchResponse(created=True)
    assert result_line(event) == b'{"result":{"created":true}}\n'
    alarm = pb.AlarmMember(memberID=1, alarm=pb.NOSPACE)
    assert to_json(alarm) == b'{"memberID":"1","alarm":"NOSPACE"}'
    assert error_body(RpcError(Code.NOT_FOUND, "no", definite=True)) == b'{"code":5,"message":"no"}'


def test_every_path_is_of_an_rpc_and_nearly_every_rpc_has_one() -> None:
    assert set(PATHS.values()) <= set(services)
    own = {path for path in services if path.startswith(("/etcdserverpb.", "/v3lockpb.", "/v3electionpb."))}
    assert own - set(PATHS.values()) == {"/etcdserverpb.KV/RangeStream"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.lists(st.dictionaries(st.text(), json_values) | st.lists(json_values)), st.integers(1, 9))
def test_values_are_cut_where_they_end(values: list[object], size: int) -> None:
    """However the bytes are cut into pieces, and with or without space between the values."""
    data = b" \n".join(json.dumps(value).encode() for value in values)
    cutter, found = JsonValues(), []
    for at in range(0, len(data), size):
        cutter.feed(data[at : at + size])
        while (value := cutter.take()) is not None:
            found.append(json.loads(value))
    assert found == values
    assert cutter.rest() == b""


def test_headers_become_metadata() -> None:
    headers = {
        "authorization": "token",
        "grpc-metadata-hasleader": "true",
        "grpc-metadata-trace-bin": "AAE=",
        "accept": "*/*",
        "host": "db:2379",
        "x-other": "dropped",
        "x-forwarded-for": "10.0.0.1",
    }
    assert call_metadata(headers, "127.0.0.1:99") == {
        "authorization": "token",
        "grpcgateway-authorization": "token",
        "hasleader": "true",
        "trace-bin": "AAE=",
        "grpcgateway-accept": "*/*",
        "x-forwarded-host": "db:2379",
        "x-forwarded-for": "10.0.0.1, 127.0.0.1",
    }
    with pytest.raises(RpcError, match="invalid binary header"):
        call_metadata({"grpc-metadata-a-bin": "!"}, "")


@pytest.mark.parametrize(("text", "seconds"), [("2S", 2.0), ("5m", 0.005), ("1H", 3600.0), ("0S", None)])
def test_timeouts(text: str, seconds: float | None) -> None:
    assert timeout({"grpc-timeout": text}) == seconds


@pytest.mark.parametrize("text", ["S", "1", "1x", "aS"])
def test_timeouts_that_make_no_sense(text: str) -> None:
    with pytest.raises(RpcError, match=f"invalid grpc-timeout: {text}"):
        timeout({"grpc-timeout": text})
