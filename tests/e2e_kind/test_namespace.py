"""`kubectl delete namespace` with speech running: everything goes, nothing is stuck, nobody waits for ever."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from kit.kind_kube import Kube, note, run
from kit.kind_release import Release, built_tag, first_result, merged, values
from kit.kind_speech import Speaker
from lingua_client import LinguaError

if TYPE_CHECKING:
    from kit.kind_release import Installed

_PORT = 30511
_URL = f"http://127.0.0.1:{_PORT}"


async def test_a_namespace_that_is_deleted_with_speech_running_is_gone_with_all_its_resources(
    lingua: Installed,
) -> None:
    kube = Kube("goodbye")
    # The resources' definitions belong to the first release.
    release = Release("goodbye", kube, merged(values(built_tag(), _PORT), {"crds": {"enabled": False}}))
    await release.remove()
    await release.install()
    await first_result(_URL)
    speaker, stop = Speaker(url=_URL), asyncio.Event()
    talking = asyncio.create_task(speaker.talk(stop))
    while not speaker.results:
        await asyncio.sleep(0.2)
        assert not talking.done(), talking.exception()
    started = time.monotonic()
    await run("kubectl", "delete", "namespace", kube.namespace, "--wait=false")
    await lingua.kube.until("the namespace is gone", lambda: _is_gone(kube.namespace), within_s=180)
    took_s = time.monotonic() - started
    stop.set()
    ended = await _ended(talking)
    note("kubectl delete namespace with speech running", f"gone after {took_s:.0f} s; the client's end: {ended!r}")
    # The other release has felt nothing.
    await lingua.kube.until_true("tfleet", "lingua-node", "Ready")
    await first_result()


async def _is_gone(namespace: str) -> bool:
    return not (await run("kubectl", "get", "namespace", namespace, "--ignore-not-found")).strip()


async def _ended(talking: asyncio.Task[None]) -> LinguaError | None:
    """Wait for the client's end: a typed error, or none when all it had said was translated in time."""
    with contextlib.suppress(asyncio.CancelledError):
        try:
            await asyncio.wait_for(talking, 180)
        except LinguaError as told:
            return told
    return None
