"""Text forms of messages, entries and states, for logs and transcripts.

They are the forms that etcd's raft library prints, so that its logs and ours can be compared by line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .confchange import as_v2
from .encoding import decode_conf_change, decode_conf_change_v2
from .errors import MalformedConfChange
from .types import (
    LOCAL_APPEND_THREAD,
    LOCAL_APPLY_THREAD,
    NONE,
    ConfChange,
    ConfChangeSingle,
    ConfChangeTransition,
    ConfChangeType,
    ConfChangeV2,
    ConfState,
    Entry,
    EntryType,
    HardState,
    Message,
    MessageType,
    ReadState,
    Role,
    Snapshot,
    SoftState,
)

EntryFormatter = Callable[[bytes], str]


def _camel(prefix: str, name: str) -> str:
    return prefix + "".join(word.capitalize() for word in name.split("_"))


MESSAGE_NAMES = {kind: _camel("Msg", kind.name) for kind in MessageType}
ROLE_NAMES = {role: _camel("State", role.name) for role in Role}
ENTRY_NAMES = {
    EntryType.NORMAL: "EntryNormal",
    EntryType.CONF_CHANGE: "EntryConfChange",
    EntryType.CONF_CHANGE_V2: "EntryConfChangeV2",
}
_CHANGE_NAMES = {kind: _camel("ConfChange", kind.name) for kind in ConfChangeType}
_CHANGE_LETTERS = {
    ConfChangeType.ADD_NODE: "v",
    ConfChangeType.ADD_LEARNER_NODE: "l",
    ConfChangeType.REMOVE_NODE: "r",
    ConfChangeType.UPDATE_NODE: "u",
}
_TRANSITION_NAMES = {kind: _camel("ConfChangeTransition", kind.name) for kind in ConfChangeTransition}
_QUOTE_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}


def quote(data: bytes) -> str:
    """`data` in double quotes with the escapes of a Go string literal."""
    out = []
    for char in data.decode("utf-8", errors="surrogateescape"):
        code = ord(char)
        if char in _QUOTE_ESCAPES:
            out.append(_QUOTE_ESCAPES[char])
        elif 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif char == " " or (char.isprintable() and not char.isspace()):
            out.append(char)
        elif code < 0x80:
            out.append(f"\\x{code:02x}")
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


def _list(values: Sequence[int]) -> str:
    return "[" + " ".join(map(str, values)) + "]"


def describe_target(member: int) -> str:
    if member == NONE:
        return "None"
    if member == LOCAL_APPEND_THREAD:
        return "AppendThread"
    return "ApplyThread" if member == LOCAL_APPLY_THREAD else f"{member:x}"


def describe_hard_state(state: HardState) -> str:
    vote = f" Vote:{state.vote}" if state.vote else ""
    return f"Term:{state.term}{vote} Commit:{state.commit}"


def describe_soft_state(state: SoftState) -> str:
    return f"Lead:{state.lead} State:{ROLE_NAMES[state.role]}"


def describe_conf_state(state: ConfState) -> str:
    return (
        f"Voters:{_list(state.voters)} VotersOutgoing:{_list(state.voters_outgoing)} "
        f"Learners:{_list(state.learners)} LearnersNext:{_list(state.learners_next)} "
        f"AutoLeave:{'true' if state.auto_leave else 'false'}"
    )


def describe_snapshot(snapshot: Snapshot) -> str:
    return f"Index:{snapshot.index} Term:{snapshot.term} ConfState:{describe_conf_state(snapshot.conf_state)}"


def describe_read_states(states: Sequence[ReadState]) -> str:
    return "[" + " ".join(f"{{{s.index} {_list(list(s.request_context))}}}" for s in states) + "]"


def describe_changes(changes: Sequence[ConfChangeSingle]) -> str:
    """Short form: v1 l2 r3 u4."""
    return " ".join(f"{_CHANGE_LETTERS[change.type]}{change.node_id}" for change in changes)


def describe_conf_change(change: ConfChange | ConfChangeV2) -> str:
    """Long form, as the leader logs a change that it refuses."""
    newer = as_v2(change)
    text = f"transition:{_TRANSITION_NAMES[newer.transition]}"
    for single in newer.changes:
        text += f" changes:{{type:{_CHANGE_NAMES[single.type]} node_id:{single.node_id}}}"
    return f"{text} context:{quote(newer.context)}" if newer.context else text


def describe_entry(entry: Entry, formatter: EntryFormatter = quote) -> str:
    try:
        if entry.type == EntryType.CONF_CHANGE:
            content = describe_changes(as_v2(decode_conf_change(entry.data)).changes)
        elif entry.type == EntryType.CONF_CHANGE_V2:
            content = describe_changes(decode_conf_change_v2(entry.data).changes)
        else:
            content = formatter(entry.data)
    except MalformedConfChange as error:
        content = str(error)
    text = f"{entry.term}/{entry.index} {ENTRY_NAMES[entry.type]}"
    return f"{text} {content}" if content else text


def describe_entries(entries: Sequence[Entry], formatter: EntryFormatter = quote) -> str:
    """One line each, each ended."""
    return "".join(describe_entry(entry, formatter) + "\n" for entry in entries)


def describe_message(message: Message, formatter: EntryFormatter = quote, indent: str = "") -> str:
    text = (
        f"{indent}{describe_target(message.sender)}->{describe_target(message.to)} "
        f"{MESSAGE_NAMES[message.type]} Term:{message.term} Log:{message.log_term}/{message.index}"
    )
    if message.reject:
        text += f" Rejected (Hint: {message.reject_hint})"
    if message.commit:
        text += f" Commit:{message.commit}"
    if message.vote:
        text += f" Vote:{message.vote}"
    if len(message.entries) == 1:
        text += f" Entries:[{describe_entry(message.entries[0], formatter)}]"
    elif message.entries:
        lines = "".join(f"\n{indent}  {describe_entry(entry, formatter)}" for entry in message.entries)
        text += f" Entries:[{lines}\n{indent}]"
    if message.snapshot is not None and message.snapshot.index:
        text += f"\n{indent}  Snapshot: {describe_snapshot(message.snapshot)}"
    if message.responses:
        lines = "".join("\n" + describe_message(each, formatter, indent + "  ") for each in message.responses)
        text += f" Responses:[{lines}\n{indent}]"
    return text
