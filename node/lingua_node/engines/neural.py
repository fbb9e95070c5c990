"""What engines with a model of the user have in common: import late, load in a thread, say plainly what is wrong."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable  # noqa: TC003 - clearer here
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from lingua_node.engines.base import EngineError
from lingua_wire.codes import ErrorCode

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")


class Workers:
    """A few threads for one engine. A thread can't be interrupted: a cancelled call only stops being waited for."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(max_workers=count)

    async def run(self, work: Callable[[], T]) -> T:
        """Do blocking work in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def load(self, package: str, path: Path, make: Callable[[Any], T]) -> T:
        """Import ``package`` and let ``make`` load the model at ``path`` with it.

        :raises EngineError: MODEL_NOT_AVAILABLE when the package or the path is missing, MODEL_LOAD_FAILED when the
            model is broken.
        """
        return await self.run(lambda: _load(package, path, make))

    def close(self) -> None:
        """Let the threads end after what they do now."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _load(package: str, path: Path, make: Callable[[Any], T]) -> T:
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        message = f"the package {package} is not installed; it comes with the extra 'neural'"
        raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, message) from error
    if not path.exists():
        raise EngineError(ErrorCode.MODEL_NOT_AVAILABLE, f"no model at {path}")
    try:
        return make(module)
    except Exception as error:  # whatever a foreign library makes of a broken file
        raise EngineError(ErrorCode.MODEL_LOAD_FAILED, f"the model at {path} can't be loaded: {error}") from error


def failed(error: Exception) -> EngineError:
    """Turn a library's error in the middle of a job into ours, without what it may quote of the text."""
    return EngineError(ErrorCode.PROCESSING_ERROR, f"the model failed: {type(error).__name__}")
