"""Who is at the other end of a loopback connection? Linux only, no privileges, same user.

A connection we accepted has, on this machine, a second socket: the dialer's. Its inode comes from the
kernel's socket diagnosis (netlink, one exact question) or, where a sandbox has none, from /proc/net/tcp; the
process that holds the inode is found among the file descriptors of the processes we know.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLMSG_ERROR = 2
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_REQUEST = struct.Struct("=BBBxI")  # family, protocol, extensions, states
_PORTS = struct.Struct("!HH")
_REPLY = struct.Struct(
    "=BBBB48sIIIII"
)  # family, state, timer, retrans, id, expires, rqueue, wqueue, uid, inode

Address = tuple[str, int]


class DialerLookup:
    """Finds the member that dialed. `members` maps a name to the pid of its main process."""

    def __init__(self) -> None:
        self._netlink = _open_netlink()

    def close(self) -> None:
        if self._netlink is not None:
            self._netlink.close()

    def find(self, dialer: Address, ours: Address, members: Mapping[str, int]) -> str | None:
        """The member whose process holds the socket dialer -> ours, or None."""
        inode = self.inode(dialer, ours)
        if inode is None:
            return None
        wanted = f"socket:[{inode}]"
        for name, pid in members.items():
            if _holds(pid, wanted):
                return name
        # A member that is started by a wrapper dials from a child; members lead sessions of their own.
        sessions = {pid: name for name, pid in members.items()}
        for pid in _processes():
            name = sessions.get(_session(pid), "")
            if name and _holds(pid, wanted):
                return name
        return None

    def inode(self, local: Address, remote: Address) -> int | None:
        if self._netlink is not None:
            found = self._ask_kernel(self._netlink, local, remote)
            if found is not None:
                return found
        return _ask_proc(local, remote)

    def _ask_kernel(self, netlink: socket.socket, local: Address, remote: Address) -> int | None:
        source = socket.inet_aton(local[0]).ljust(16, b"\0")
        target = socket.inet_aton(remote[0]).ljust(16, b"\0")
        body = _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
        body += _PORTS.pack(local[1], remote[1]) + source + target
        body += struct.pack("=I", 0) + b"\xff" * 8  # any interface, no cookie
        try:
            netlink.send(
                _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + body
            )
            answer = netlink.recv(4096)
        except OSError:
            return None
        kind = _HEADER.unpack_from(answer)[1]
        if kind == _NLMSG_ERROR or len(answer) < _HEADER.size + _REPLY.size:
            return None
        inode = int(_REPLY.unpack_from(answer, _HEADER.size)[9])
        return inode or None


def _open_netlink() -> socket.socket | None:
    try:
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG)
    except (OSError, AttributeError):
        return None
    netlink.settimeout(0.2)
    return netlink


def _ask_proc(local: Address, remote: Address) -> int | None:
    wanted = f" {_hex(local)} {_hex(remote)} "
    try:
        table = Path("/proc/net/tcp").read_text(encoding="ascii")
    except OSError:
        return None
    at = table.find(wanted)
    if at < 0:
        return None
    # After the addresses: state, queues, timer, retransmits, uid, timeout, inode.
    fields = table[at + len(wanted) : table.find("\n", at)].split()
    return int(fields[6]) or None


def _hex(address: Address) -> str:
    number = int.from_bytes(socket.inet_aton(address[0]), "little")
    return f"{number:08X}:{address[1]:04X}"


def _holds(pid: int, wanted: str) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    # The connection was opened just now, so its number is likely among the last.
    for name in reversed(names):
        try:
            if os.readlink(f"{folder}/{name}") == wanted:
                return True
        except OSError:
            continue
    return False


def _processes() -> Iterable[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0
