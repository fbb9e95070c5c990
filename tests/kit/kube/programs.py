"""Start the Kubernetes programs, and never leave one behind."""

from __future__ import annotations

import signal
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from kit import processes

if TYPE_CHECKING:
    from collections.abc import Sequence

ETCD, API_SERVER, CONTROLLERS, KUBECTL = "etcd", "kube-apiserver", "kube-controller-manager", "kubectl"
_ROOT = Path(__file__).resolve().parents[3]
_STOP_S = 20.0
_LAST_WORDS = 12


class ProgramEnded(RuntimeError):
    """A program that should run has ended; the message holds the end of its log."""


@cache
def find(program: str) -> Path:
    """Say where one of the programs is; ``setup/kubernetes`` alone knows the places.

    :raises RuntimeError: it was not built yet; the message says what to run.
    """
    found = subprocess.run([_ROOT / "setup/kubernetes", "--where"], capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(found.stderr.strip())
    return Path(dict(line.split(" ", 1) for line in found.stdout.splitlines())[program])


class Program:
    """One program with its command line: started, stopped, paused and started again, its log kept in ``directory``.

    The kernel kills it when this process ends, however that ends (PR_SET_PDEATHSIG, by setpriv of util-linux).
    """

    def __init__(self, name: str, options: Sequence[str], directory: Path) -> None:
        self.name = name
        self._command = ["setpriv", "--pdeathsig", "KILL", "--", str(find(name)), *options]
        self._log = directory / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Name the process; it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; being ready is another matter. From the main thread: it ends with the thread that started it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def check(self) -> bool:
        """Return true while it runs.

        :raises ProgramEnded: it does not.
        """
        assert self._process is not None
        if self._process.poll() is not None:
            raise ProgramEnded(f"{self.name} ended with {self._process.returncode}: {self.last_words()}")
        return True

    def last_words(self) -> str:
        """Read the end of its log."""
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return "\n".join(lines[-_LAST_WORDS:]) or "it left no log"

    def pause(self) -> None:
        """Make it hang."""
        self.check()
        processes.pause(self.pid)

    def go_on(self) -> None:
        """Let it come back."""
        self.check()
        processes.go_on(self.pid)

    def stop(self, *, kill: bool = False) -> None:
        """End it and wait until it is gone. Stopping twice is fine; a paused one ends too.

        :param kill: by SIGKILL, as a crash would.
        """
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
