"""Where the running scheduler sits in the application, for the sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from lingua_scheduler.scheduler import Scheduler

HANDLE: web.AppKey[Scheduler] = web.AppKey("scheduler_handle")
