"""Which languages a job may be spoken in, and which one it goes to. Pure.

A code with a region is served by its plain language: ``en-GB`` by ``en``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lingua_wire.fields import Mode
from lingua_wire.ids import AUTO

if TYPE_CHECKING:
    from collections.abc import Collection

    from lingua_wire.node_messages import JobAssign


def base_of(language: str) -> str:
    """Drop script and region from a code."""
    return language.partition("-")[0].lower()


def matching(language: str, offered: Collection[str]) -> str | None:
    """Find ``language``, or its plain form, among what is offered."""
    if language in offered:
        return language
    return next((one for one in sorted(offered) if base_of(one) == base_of(language)), None)


def candidates(job: JobAssign, heard: Collection[str]) -> tuple[str, ...]:
    """Name the languages to listen for, likeliest first: both of a conversation, the given one, or all for ``auto``."""
    return tuple(dict.fromkeys(found for one in _asked(job, heard) if (found := matching(one, heard))))


def _asked(job: JobAssign, heard: Collection[str]) -> tuple[str, ...]:
    if job.mode is Mode.TWO_WAY_AUTO and job.lang_a and job.lang_b:
        return (job.lang_a, job.lang_b)
    if job.src_lang != AUTO:
        return (job.src_lang,)
    return job.auto_langs or tuple(sorted(heard))


def target_of(job: JobAssign, spoken: str) -> str:
    """Name the language to translate to: in a conversation the other one, else the job's."""
    if job.mode is not Mode.TWO_WAY_AUTO or not job.lang_a or not job.lang_b:
        return job.tgt_lang
    return job.lang_b if base_of(spoken) == base_of(job.lang_a) else job.lang_a
