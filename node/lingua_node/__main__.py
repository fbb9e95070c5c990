"""``lingua-node``: run the reference node."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from lingua_node import capability, logs
from lingua_node.agent import NodeAgent
from lingua_node.build import build_engines
from lingua_node.engines.base import EngineError
from lingua_node.settings import PREFIX, NodeSettings
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from lingua_node.pipeline import Engines

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_BAD_SETTINGS = 2

_OPTIONS = ("url", "node_id", "max_jobs", "languages", "domain_sentences", "phrasebook", "pivots", "data_dir")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node, or with ``--check`` say what it could do; give the exit code."""
    parsed = _parser().parse_args(arguments)
    given = {name: value for name in _OPTIONS if (value := getattr(parsed, name)) is not None}

    def read_settings() -> NodeSettings:
        return NodeSettings(**given)

    try:
        settings = read_settings()
    except ValidationError as error:
        sys.stderr.write(explain(error))
        return EXIT_BAD_SETTINGS
    logs.set_up(as_json=settings.log_json)
    with _folder(settings) as folder:
        try:
            return _run(check(settings, folder) if parsed.check else serve(settings, folder, read_settings))
        except EngineError as error:
            sys.stderr.write(f"lingua-node: {error.code}: {error.message}\n")
            return EXIT_FAILED
        except KeyboardInterrupt:
            return EXIT_OK


async def check(settings: NodeSettings, folder: Path) -> int:
    """Load every engine, print what each pair would be like, and end."""
    engines = await _started(settings, folder)
    try:
        sys.stdout.write(capability.describe(capability.capability_of(engines)) + "\n")
        for word in getattr(engines.asr, "unknown_words", ()):
            sys.stdout.write(f"no pronunciation, sentences with it are left out: {word}\n")
    finally:
        await engines.close()
    return EXIT_OK


async def serve(settings: NodeSettings, folder: Path, read_settings: Callable[[], NodeSettings]) -> int:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends it at once."""

    async def rebuild() -> Engines:
        try:
            return await _started(read_settings(), folder)
        except ValidationError as error:
            raise EngineError(ErrorCode.MODEL_LOAD_FAILED, explain(error)) from error

    agent = NodeAgent(settings, await _started(settings, folder), rebuild)
    serving = asyncio.create_task(agent.run())
    draining: list[asyncio.Task[None]] = []

    def on_signal() -> None:
        if draining:
            serving.cancel()
        else:
            draining.append(asyncio.create_task(agent.drain_and_stop()))

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    try:
        await serving
    except asyncio.CancelledError:
        return EXIT_FAILED
    return EXIT_OK


def explain(error: ValidationError) -> str:
    """Say which setting is bad, in a line each, without showing secrets."""
    lines = []
    for problem in error.errors(include_url=False, include_input=False):
        name = "_".join(str(part) for part in problem["loc"])
        lines.append(f"lingua-node: {PREFIX}{name.upper()}: {problem['msg']}\n")
    return "".join(lines)


async def _started(settings: NodeSettings, folder: Path) -> Engines:
    engines = await asyncio.to_thread(build_engines, settings, folder)
    await engines.start()
    return engines


def _run(work: Coroutine[object, object, int]) -> int:
    try:
        import uvloop  # noqa: PLC0415 - an extra
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


@contextmanager
def _folder(settings: NodeSettings) -> Iterator[Path]:
    if settings.data_dir is None:
        with tempfile.TemporaryDirectory(prefix="lingua-node-") as name:
            yield Path(name)
        return
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    yield settings.data_dir


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lingua-node",
        description="Translate speech for a Lingua scheduler. Every setting is also an environment variable"
        f" ({PREFIX}...); docs/node.md lists them.",
    )
    parser.add_argument("--check", action="store_true", help="load the engines, print what the node can do, and end")
    parser.add_argument("--url", help="the scheduler, ws://HOST:PORT/ws/node")
    parser.add_argument("--node-id", help="the node's name")
    parser.add_argument("--max-jobs", help="jobs at once")
    parser.add_argument("--languages", help="languages, separated by commas")
    parser.add_argument("--domain-sentences", help="file of English sentences to hear")
    parser.add_argument("--phrasebook", help="file of phrases to hear, Spanish by default")
    parser.add_argument("--pivots", help="pairs that go through a third language, as en-es:ca")
    parser.add_argument("--data-dir", help="folder for the node's name and models")
    return parser


if __name__ == "__main__":
    sys.exit(main())
