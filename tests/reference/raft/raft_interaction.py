"""The transcript format, and the environment in which transcripts are played.

A transcript is a text file of cases: `command args`, input lines, `----`, the expected output, a blank line;
`#` begins a comment. Expected output with blank lines in it stands between `----` doubled on both sides.
All cases of a file are played in one environment and compared letter for letter. Commands and output are
those of the transcripts of etcd's raft library, so that those can be played too.

Loaded by conftest.py: there is no package to import it from.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from gauntlet.reference.raft.config import Config
from gauntlet.reference.raft.describe import MESSAGE_NAMES, ROLE_NAMES, describe_entries, describe_message
from gauntlet.reference.raft.encoding import decode_conf_change, decode_conf_change_v2
from gauntlet.reference.raft.errors import RaftError
from gauntlet.reference.raft.rawnode import RawNode, describe_ready
from gauntlet.reference.raft.storage import MemoryStorage
from gauntlet.reference.raft.types import (
    LOCAL_APPEND_THREAD,
    LOCAL_APPLY_THREAD,
    NO_LIMIT,
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
    Snapshot,
)

THREADS = (LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD)

# --- the format ---


@dataclass
class Case:
    line: int
    command: str
    args: list[tuple[str, list[str]]]
    input: str
    expected: str

    def value(self, key: str) -> str:
        return next(values[0] for name, values in self.args if name == key)

    def ids(self) -> list[int]:
        """The arguments without a value, as numbers."""
        return [int(name) for name, values in self.args if not values]


def parse_args(text: str) -> list[tuple[str, list[str]]]:
    args = []
    for match in re.finditer(r"([^\s=]+)(?:=(?:\(([^)]*)\)|(\S*)))?", text):
        key, many, one = match.groups()
        if many is not None:
            args.append((key, [value.strip() for value in many.split(",")]))
        else:
            args.append((key, [] if one is None else [one]))
    return args


def parse_transcript(path: Path) -> list[Case]:
    lines = path.read_text(encoding="utf-8").split("\n")
    cases = []
    at = 0
    while at < len(lines):
        start, line = at, lines[at].strip()
        at += 1
        if not line or line.startswith("#"):
            continue
        while line.endswith("\\"):
            line = line[:-1] + " " + lines[at].strip()
            at += 1
        command, _, rest = line.partition(" ")
        separator = lines.index("----", at)
        text = "\n".join(lines[at:separator]).strip()
        at = separator + 1
        expected = []
        if at < len(lines) and lines[at] == "----":
            at += 1
            while lines[at : at + 2] != ["----", "----"]:
                expected.append(lines[at])
                at += 1
            at += 2
        else:
            while at < len(lines) and lines[at].strip():
                expected.append(lines[at])
                at += 1
        cases.append(
            Case(start + 1, command, parse_args(rest), text, "".join(each + "\n" for each in expected))
        )
    return cases


def play(path: Path, handle: Callable[[Case], str]) -> int:
    """Play the file and compare. Returns the number of cases; there must be some."""
    cases = parse_transcript(path)
    for case in cases:
        actual = handle(case)
        if actual and not actual.endswith("\n"):
            actual += "\n"
        assert actual == case.expected, f"{path.name}:{case.line}: {case.command}"
    assert cases, f"{path} holds no case"
    return len(cases)


# --- the environment ---

LEVELS = ["DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE"]
SINK_LEVELS = {"debug": 0, "info": 1, "warning": 2, "error": 3, "fatal": 4}
MESSAGE_TYPES = {name: kind for kind, name in MESSAGE_NAMES.items()}
CHANGE_LETTERS = {
    "v": ConfChangeType.ADD_NODE,
    "l": ConfChangeType.ADD_LEARNER_NODE,
    "r": ConfChangeType.REMOVE_NODE,
    "u": ConfChangeType.UPDATE_NODE,
}
TRANSITIONS = {
    "auto": ConfChangeTransition.AUTO,
    "implicit": ConfChangeTransition.JOINT_IMPLICIT,
    "explicit": ConfChangeTransition.JOINT_EXPLICIT,
}
SWITCHES = {
    "async-storage-writes": "async_storage_writes",
    "prevote": "pre_vote",
    "checkquorum": "check_quorum",
    "disable-conf-change-validation": "disable_conf_change_validation",
    "disable-proposal-forwarding": "disable_proposal_forwarding",
    "step-down-on-removal": "step_down_on_removal",
}
NUMBERS = {
    "inflight": "max_inflight_msgs",
    "inflight-bytes": "max_inflight_bytes",
    "max-committed-size-per-ready": "max_committed_size_per_ready",
    "max-size-per-msg": "max_size_per_msg",
    "max-uncommitted-size": "max_uncommitted_entries_size",
}


def parse_changes(text: str) -> list[ConfChangeSingle]:
    return [ConfChangeSingle(CHANGE_LETTERS[token[0]], int(token[1:])) for token in text.split()]


class Output:
    """Log lines and what commands print; the level NONE swallows both."""

    def __init__(self) -> None:
        self.level = 0
        self.text = ""

    @property
    def quiet(self) -> bool:
        return self.level == LEVELS.index("NONE")

    def write(self, text: str) -> None:
        if not self.quiet:
            self.text += text

    def log(self, level: str, line: str) -> None:
        if self.level <= SINK_LEVELS[level]:
            self.write(f"{LEVELS[SINK_LEVELS[level]]} {line}\n")

    def indented(self, act: Callable[[], None]) -> None:
        before, self.text = self.text, ""
        act()
        self.text = before + "".join(f"  {line}\n" for line in self.text.splitlines())


class LatestSnapshotStorage(MemoryStorage):
    """Gives out the application's newest state when asked for a snapshot, or for where to start again."""

    __slots__ = ("history",)

    def __init__(self, history: list[Snapshot]) -> None:
        super().__init__()
        self.history = history

    def initial_state(self) -> tuple[HardState, ConfState]:
        return super().initial_state()[0], self.history[-1].conf_state

    def snapshot(self) -> Snapshot:
        return self.history[-1]


@dataclass
class Member:
    config: Config
    raw: RawNode
    storage: LatestSnapshotStorage
    append_work: list[Message] = field(default_factory=list)
    apply_work: list[Message] = field(default_factory=list)

    @property
    def history(self) -> list[Snapshot]:
        return self.storage.history

    def write(self, state: HardState | None, entries: list[Entry], snapshot: Snapshot | None) -> None:
        if state is not None and state != HardState():
            self.storage.set_hard_state(state)
        if snapshot is not None:
            assert not entries, "can't apply snapshot and entries at the same time"
            self.storage.apply_snapshot(snapshot)
            self.history.append(snapshot)
        else:
            self.storage.append(entries)

    def apply(self, entries: list[Entry]) -> None:
        """The application: a state machine that concatenates all it gets."""
        for entry in entries:
            last = self.history[-1]
            update, conf_state = entry.data, last.conf_state
            if entry.type != EntryType.NORMAL:
                change: ConfChange | ConfChangeV2
                if entry.type == EntryType.CONF_CHANGE:
                    change = decode_conf_change(entry.data)
                else:
                    change = decode_conf_change_v2(entry.data)
                update, conf_state = change.context, self.raw.apply_conf_change(change)
            self.history.append(Snapshot(entry.index, entry.term, conf_state, last.data + update))


def is_local(message: Message) -> bool:
    return message.sender == message.to or message.sender in THREADS or message.to in THREADS


class Interaction:
    """A group of members and the messages between them, driven by transcript commands.

    `random` is given to every member: transcripts must not depend on it.
    """

    def __init__(self, random: Callable[[int], int]) -> None:
        self.random = random
        self.members: list[Member] = []
        self.messages: list[Message] = []
        self.output = Output()

    def handle(self, case: Case) -> str:
        self.output.text = ""
        try:
            getattr(self, "do_" + case.command.replace("-", "_"))(case)
        except RaftError as error:
            if self.output.quiet:
                return str(error)
            self.output.write(str(error))
        return self.output.text or "ok"

    def member(self, case: Case) -> Member:
        return self.members[int(case.args[0][0]) - 1]

    def each(self, case: Case, title: str, act: Callable[[Member], None]) -> None:
        """`act` on each member named; with titles if there are several."""
        ids = case.ids()
        for member in ids:
            if len(ids) > 1:
                self.output.write(f"> {member} {title}\n")
                self.output.indented(lambda chosen=self.members[member - 1]: act(chosen))
            else:
                act(self.members[member - 1])

    # --- members ---

    def do_add_nodes(self, case: Case) -> None:
        config = Config(
            id=0,
            election_tick=3,
            heartbeat_tick=1,
            storage=MemoryStorage(),
            random=self.random,
            max_size_per_msg=NO_LIMIT,
            max_inflight_msgs=(1 << 31) - 1,
            log=self.output.log,
        )
        state = ConfState()
        index, content = 0, b""
        for key, values in case.args[1:]:
            if key in ("voters", "learners"):
                getattr(state, key).extend(map(int, values))
            elif key == "index":
                index = config.applied = int(values[0])
            elif key == "content":
                content = values[0].encode()
            elif key == "read-only":
                config.read_only_lease_based = {"safe": False, "lease-based": True}[values[0]]
            elif key in NUMBERS:
                setattr(config, NUMBERS[key], int(values[0]))
            else:
                setattr(config, SWITCHES[key], {"true": True, "false": False}[values[0]])
        self.add(int(case.args[0][0]), config, Snapshot(index, 0, state, content))

    def add(self, count: int, template: Config, snapshot: Snapshot) -> None:
        bootstrap = snapshot != Snapshot()
        if bootstrap:
            if snapshot.index <= 1:
                raise RaftError("index must be specified as > 1 due to bootstrap")
            snapshot.term = 1
        for _ in range(count):
            storage = LatestSnapshotStorage([snapshot])
            if bootstrap:
                storage.apply_snapshot(snapshot)
            config = replace(template, id=len(self.members) + 1, storage=storage)
            self.members.append(Member(config, RawNode(config), storage))

    def do_restart(self, case: Case) -> None:
        """Ours: the member loses all but its storage and what its application has applied."""
        member = self.member(case)
        member.config = replace(member.config, applied=member.history[-1].index)
        member.raw = RawNode(member.config)
        member.append_work.clear()
        member.apply_work.clear()

    def do_campaign(self, case: Case) -> None:
        self.member(case).raw.campaign()

    def do_forget_leader(self, case: Case) -> None:
        self.member(case).raw.forget_leader()

    def do_transfer_leadership(self, case: Case) -> None:
        self.members[int(case.value("from")) - 1].raw.transfer_leader(int(case.value("to")))

    def do_report_unreachable(self, case: Case) -> None:
        reporter, lost = case.ids()
        self.members[reporter - 1].raw.report_unreachable(lost)

    def do_report_snapshot(self, case: Case) -> None:
        """Ours: report-snapshot 1 2 ok=false."""
        reporter, receiver = case.ids()
        self.members[reporter - 1].raw.report_snapshot(receiver, case.value("ok") == "true")

    def do_read_index(self, case: Case) -> None:
        """Ours: read-index 1 context."""
        self.member(case).raw.read_index(case.args[1][0].encode())

    def do_propose(self, case: Case) -> None:
        self.member(case).raw.propose(case.args[1][0].encode())

    def do_propose_conf_change(self, case: Case) -> None:
        options = {name: values[0] for name, values in case.args[1:]}
        changes = parse_changes(case.input)
        transition = TRANSITIONS[options.get("transition", "auto")]
        if options.get("v1") == "true":
            assert len(changes) == 1
            self.member(case).raw.propose_conf_change(ConfChange(changes[0].type, changes[0].node_id))
        else:
            self.member(case).raw.propose_conf_change(ConfChangeV2(transition, changes))

    # --- time ---

    def do_tick_election(self, case: Case) -> None:
        self.tick(self.member(case), self.member(case).config.election_tick)

    def do_tick_heartbeat(self, case: Case) -> None:
        self.tick(self.member(case), self.member(case).config.heartbeat_tick)

    def tick(self, member: Member, count: int) -> None:
        for _ in range(count):
            member.raw.tick()

    def do_set_randomized_election_timeout(self, case: Case) -> None:
        self.member(case).raw.raft.randomized_election_timeout = int(case.value("timeout"))

    # --- messages and storage ---

    def take(self, to: int, kind: MessageType | None, drop: bool) -> list[Message]:
        """Messages for a member. Local ones cannot be dropped."""
        taken = [
            message
            for message in self.messages
            if message.to == to
            and not (drop and is_local(message))
            and (kind is None or message.type == kind)
        ]
        self.messages = [message for message in self.messages if not any(message is each for each in taken)]
        return taken

    def deliver(self, to: int, kind: MessageType | None = None, drop: bool = False) -> int:
        taken = self.take(to, kind, drop)
        for message in taken:
            self.output.write(("dropped: " if drop else "") + describe_message(message) + "\n")
            if not drop:
                try:
                    self.members[to - 1].raw.step(message)
                except RaftError as error:
                    self.output.write(f"{error}\n")
        return len(taken)

    def do_deliver_msgs(self, case: Case) -> None:
        kind: MessageType | None = None
        recipients = []
        for key, values in case.args:
            if key == "type":
                kind = MESSAGE_TYPES[values[0]]
            elif key == "drop":
                recipients += [(int(value), True) for value in values]
            else:
                recipients.append((int(key), False))
        if not sum([self.deliver(member, kind, drop) for member, drop in recipients]):
            self.output.write("no messages\n")

    def do_process_ready(self, case: Case) -> None:
        self.each(case, "handling Ready", self.process_ready)

    def process_ready(self, member: Member) -> None:
        ready = member.raw.ready()
        self.output.write(describe_ready(ready))
        asynchronous = member.config.async_storage_writes
        if not asynchronous:
            member.write(ready.hard_state, ready.entries, ready.snapshot)
            member.apply(ready.committed_entries)
        for message in ready.messages:
            if message.to not in THREADS:
                self.messages.append(message)
            elif message.type == MessageType.STORAGE_APPEND:
                member.append_work.append(message)
            else:
                assert message.type == MessageType.STORAGE_APPLY
                member.apply_work.append(message)
        if not asynchronous:
            member.raw.advance(ready)

    def do_process_append_thread(self, case: Case) -> None:
        self.each(case, "processing append thread", self.process_append)

    def process_append(self, member: Member) -> None:
        self.work(
            member.append_work,
            "append",
            lambda work: member.write(
                HardState(work.term, work.vote, work.commit), work.entries, work.snapshot
            ),
        )

    def do_process_apply_thread(self, case: Case) -> None:
        self.each(case, "processing apply thread", self.process_apply)

    def process_apply(self, member: Member) -> None:
        self.work(member.apply_work, "apply", lambda work: member.apply(work.entries))

    def work(self, queue: list[Message], name: str, act: Callable[[Message], None]) -> None:
        if not queue:
            self.output.write(f"no {name} work to perform")
            return
        work = queue.pop(0)
        responses, work.responses = work.responses, []
        self.output.write(f"Processing:\n{describe_message(work)}\n")
        act(work)
        self.output.write("Responses:\n" + "".join(describe_message(each) + "\n" for each in responses))
        self.messages += responses

    def do_stabilize(self, case: Case) -> None:
        level = self.output.level
        if any(key == "log-level" for key, _ in case.args):
            self.set_level(case.value("log-level"))
        chosen = [self.members[member - 1] for member in case.ids()] or self.members
        while self.stabilize_once(chosen):
            pass
        self.output.level = level

    def stabilize_once(self, members: list[Member]) -> bool:
        """One round of everything. Whether there was anything to do."""
        busy = False
        for member in members:
            if member.raw.has_ready():
                self.titled(member, "handling Ready", lambda chosen=member: self.process_ready(chosen))
                busy = True
        for member in members:
            to = member.config.id
            if any(message.to == to for message in self.messages):
                self.titled(member, "receiving messages", lambda to=to: self.deliver(to))
                busy = True
        for member in members:
            if member.append_work:
                self.output.write(f"> {member.config.id} processing append thread\n")
                while member.append_work:
                    self.output.indented(lambda chosen=member: self.process_append(chosen))
                busy = True
        for member in members:
            if member.apply_work:
                self.output.write(f"> {member.config.id} processing apply thread\n")
                while member.apply_work:
                    self.output.indented(lambda chosen=member: self.process_apply(chosen))
                busy = True
        return busy

    def titled(self, member: Member, title: str, act: Callable[[], object]) -> None:
        self.output.write(f"> {member.config.id} {title}\n")
        self.output.indented(lambda: (act(), None)[1])

    def do_send_snapshot(self, case: Case) -> None:
        sender, receiver = case.ids()
        member = self.members[sender - 1]
        message = Message(
            MessageType.SNAP,
            to=receiver,
            sender=sender,
            term=member.raw.term,
            snapshot=member.storage.snapshot(),
        )
        self.messages.append(message)
        self.output.write(describe_message(message))

    def do_compact(self, case: Case) -> None:
        self.member(case).storage.compact(int(case.args[1][0]))
        self.do_raft_log(case)

    # --- looking ---

    def do_raft_log(self, case: Case) -> None:
        storage = self.member(case).storage
        first, last = storage.first_index(), storage.last_index()
        if last < first:
            self.output.write(f"log is empty: first index={first}, last index={last}")
        else:
            self.output.write(describe_entries(storage.entries(first, last + 1)))

    def do_raft_state(self, case: Case) -> None:
        for member in self.members:
            status = member.raw.status()
            voter = "(Voter)" if status.id in status.membership.voters.ids() else "(Non-Voter)"
            self.output.write(
                f"{status.id}: {ROLE_NAMES[status.role]} {voter} Term:{status.term} Lead:{status.lead}\n"
            )

    def do_status(self, case: Case) -> None:
        for member, progress in self.member(case).raw.status().progress.items():
            self.output.write(f"{member}: {progress}\n")

    def do_log_level(self, case: Case) -> None:
        self.set_level(case.args[0][0])

    def set_level(self, name: str) -> None:
        self.output.level = LEVELS.index(name.upper())
