"""A sequence of steps as a case that can be pasted into a file of cases."""

from __future__ import annotations

from collections.abc import Sequence

from gauntlet.harness.conformance.random.gateway import body_of, gateway_path
from gauntlet.harness.conformance.random.steps import (
    EXPIRING,
    NOW,
    AnyStep,
    Blocking,
    Expire,
    Gateway,
    Http,
    KeepAlive,
    Leader,
    Login,
    Observe,
    SetUpRoot,
    Step,
    Watch,
)
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_MODULES = {"etcdserverpb": "pb", "health": "grpc_health_v1"}


def source(message: Message) -> str:
    """Python that makes the message; revisions counted from NOW become sums with t.base."""
    kind = message.DESCRIPTOR
    package, name = kind.full_name.rsplit(".", 2)[-2:]
    fields = [f"{field.name}={_value(field, value)}" for field, value in message.ListFields()]
    return f"{_MODULES.get(package, package)}.{name}({', '.join(fields)})"


def _value(field: FieldDescriptor, value: object) -> str:
    if field.is_repeated:
        items = value if isinstance(value, (list, tuple)) else list(value)  # type: ignore[call-overload]  # a repeated container
        return f"[{', '.join(_one(field, item) for item in items)}]"
    return _one(field, value)


def _one(field: FieldDescriptor, value: object) -> str:
    if isinstance(value, Message):
        return source(value)
    if isinstance(value, int) and "revision" in field.name and abs(value - NOW) < 1000:
        ahead = value - NOW
        return "t.base" if not ahead else f"t.base {'+' if ahead > 0 else '-'} {abs(ahead)}"
    if isinstance(value, bytes) and len(value) > 60 and value == value[:1] * len(value):
        return f"{value[:1]!r} * {len(value)}"
    return repr(value)


def lines(step: AnyStep) -> list[str]:
    """The step as statements of a case."""
    if isinstance(step, Step):
        via = f', via="/{step.connection}"' if step.connection else ""
        if step.path.endswith("RangeStream"):
            return [
                f'stream = await t.open("{step.path}", {source(step.request)}{via})',
                "await stream.receive()",
            ]
        path = f', "{step.path}"' if step.path else ""
        return [f"await t.outcome({source(step.request)}{path}{via})"]
    if isinstance(step, Login):
        if not step.name:
            return [f't.client("/{step.connection}").token = None']
        return [f'await t.login({step.name!r}, {step.password!r}, "/{step.connection}")']
    if isinstance(step, Watch):
        return [
            f'w{step.stream} = Watcher(await t.open("/etcdserverpb.Watch/Watch"))  # once',
            f"await w{step.stream}.channel.send({source(step.request)})",
        ]
    if isinstance(step, KeepAlive):
        requests = ", ".join(f"pb.LeaseKeepAliveRequest(ID={lease})" for lease in step.leases)
        return [
            f'k = await t.open("/etcdserverpb.Lease/LeaseKeepAlive", {requests})',
            *["await k.receive()" for _ in step.leases],
        ]
    if isinstance(step, SetUpRoot):
        return ["await enable(t)"]
    return _rarer_lines(step)


def _rarer_lines(step: Gateway | Http | Blocking | Leader | Observe | Expire) -> list[str]:
    match step:
        case Gateway():
            path, body = gateway_path(step.request), body_of(step.request)
            return [f'await t.http("POST", "{path}", {body!r})  # with the token of /{step.connection}']
        case Http():
            return [f'await t.http("{step.method}", "{step.path}", {step.body!r})']
        case Blocking():
            call = f't.outcome({source(step.request)}, via="/{step.connection}")'
            return [
                f"waiting = asyncio.create_task({call})  # answered, or its key is there, before the next"
            ]
        case Leader():
            kind = "ResignRequest(" if step.value is None else f"ProclaimRequest(value={step.value!r}, "
            return [f'await t.outcome(v3electionpb.{kind}leader=won), via="/{step.connection}")']
        case Observe():
            request = f"v3electionpb.LeaderRequest(name={step.name!r})"
            return [f'await (await t.open("/v3electionpb.Election/Observe", {request})).receive()']
    granted = f"await t.outcome(pb.LeaseGrantRequest(ID={EXPIRING}, TTL=1))"
    puts = [f"await t.outcome(pb.PutRequest(key={key!r}, lease={EXPIRING}))" for key in step.keys]
    return [granted, *puts, "# wait until it has expired"]


def case_source(title: str, steps: Sequence[AnyStep], answers: Sequence[tuple[str, str]]) -> str:
    """A whole case; answers: of each target its name and what it said at the end."""
    body = [line for step in steps for line in lines(step)]
    comments = [f"# {name}: {' '.join(text.split())}" for name, text in answers]
    text = ['@case("kv", fresh=True)', f"async def {title}(t: Talk) -> None:"]
    return "\n".join([*text, *(f"    {line}" for line in [*body, *comments])])
