"""A network of the test's own: its loopback is nobody else's, and what iptables drops there is dropped nowhere else."""

from __future__ import annotations

import ctypes
import os
import subprocess
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_HERE = "/proc/thread-self/ns/net"
#: It waits while another one of its kind is at work.
_TABLES = ("iptables", "-w", "10")
_numbers = count(1)


@contextmanager
def own_network() -> Iterator[None]:
    """Go, with this thread and all that it starts, into a network with nothing but a loopback; come back at the end.

    The network is gone when its last process is.
    """
    if os.geteuid() != 0:
        raise AssertionError("this row cuts a network in two: run it as root (CI does)")
    back = os.open(_HERE, os.O_RDONLY)
    try:
        _do(_LIBC.unshare(_CLONE_NEWNET), "make a network namespace")
        try:
            run("ip", "link", "set", "lo", "up")
            yield
        finally:
            _do(_LIBC.setns(back, _CLONE_NEWNET), "come back from the network namespace")
    finally:
        os.close(back)


def run(*command: str) -> str:
    """Run a tool of the system."""
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise AssertionError(f"this row needs {command[0]}: install Debian's iproute2 and iptables") from None
    except subprocess.CalledProcessError as error:
        raise AssertionError(f"{' '.join(command)}: {error.stderr.strip()}") from error
    return done.stdout


class Cut:
    """Drops what goes out, in the network of this thread, until it is healed; one cut knows nothing of another."""

    def __init__(self) -> None:
        self._chain = f"cut-{next(_numbers)}"
        self._made = False

    def between(self, one: str, other: str) -> None:
        """Drop what goes from either address to the other."""
        self._drop("-s", one, "-d", other)
        self._drop("-s", other, "-d", one)

    def group(self, gid: int, address: str) -> None:
        """Drop what processes of a group send to an address."""
        self._drop("-d", address, "-m", "owner", "--gid-owner", str(gid))

    def way(self, gid: int, port: int) -> None:
        """Drop what processes of a group send to a port; what they answer from a port of their own goes on."""
        self._drop("-p", "tcp", "--dport", str(port), "-m", "owner", "--gid-owner", str(gid))

    def others(self, gid: int, address: str) -> None:
        """Drop what processes outside a group send to an address; those with an address of their own are not meant."""
        self._drop("-d", address, "-s", "127.0.0.1", "-m", "owner", "!", "--gid-owner", str(gid))

    def dropped(self) -> int:
        """Tell how many packets were dropped."""
        listed = run(*_TABLES, "-L", self._chain, "-v", "-n", "-x").splitlines()[2:] if self._made else []
        return sum(int(line.split()[0]) for line in listed if "DROP" in line)

    def heal(self) -> int:
        """Drop nothing any more; return how many packets were dropped."""
        dropped = self.dropped()
        if self._made:
            run(*_TABLES, "-D", "OUTPUT", "-j", self._chain)
            run(*_TABLES, "-F", self._chain)
            run(*_TABLES, "-X", self._chain)
            self._made = False
        return dropped

    def _drop(self, *what: str) -> None:
        if not self._made:
            run(*_TABLES, "-N", self._chain)
            run(*_TABLES, "-A", "OUTPUT", "-j", self._chain)
            self._made = True
        run(*_TABLES, "-A", self._chain, *what, "-j", "DROP")


def _do(failed: int, what: str) -> None:
    if failed:
        raise AssertionError(f"cannot {what}: {os.strerror(ctypes.get_errno())}")
