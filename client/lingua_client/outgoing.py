"""What a session sends: audio in order, ends of utterances, audio again; held back while the service is behind."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from lingua_client.errors import AudioError, LinguaError
from lingua_client.replay import End, Track, Whole
from lingua_client.sources import CHUNK_BYTES, SAMPLE_RATE
from lingua_wire import frames
from lingua_wire import session_messages as wire
from lingua_wire.audio import AudioFormat, encode_base64
from lingua_wire.fields import Extension
from lingua_wire.limits import FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from lingua_client.ledger import Ledger
    from lingua_client.link import Link
    from lingua_client.replay import Step
    from lingua_client.ring import Ring
    from lingua_client.settings import SessionSettings
    from lingua_wire.fields import Message

#: Audio that may be on its way beyond what the service has confirmed to hold.
_WINDOW_SAMPLES: Final = 8 * SAMPLE_RATE
#: What fits into one frame (8 s); a longer utterance goes in several.
_FRAME_PCM_BYTES: Final = FRAME_BYTES - frames.HEADER_BYTES
#: Sending times are kept for this many chunks, enough for the longest utterance and its result.
_KEPT_TIMES: Final = 2000
#: A connection that takes nothing for so long is lost.
_SEND_S: Final = 10.0
#: What a lost utterance sent again repeats of the session's own settings.
_LANGUAGES: Final = {"src_lang", "tgt_lang", "mode", "lang_a", "lang_b", "auto_langs", "dialect", "pipeline"}


class Outgoing:
    """The sending half of a session. Its counts of confirmed audio are set by the reading half."""

    def __init__(
        self,
        link: Link,
        session_id: str,
        init: wire.SessionInit,
        extensions: frozenset[str],
        ledger: Ledger,
        ring: Ring,
    ) -> None:
        self.received = 0
        self.consumed = 0
        self.renumber: Callable[[int], int] = int
        self._link: Link | None = link
        self._track = Track()
        self._update: dict[str, Any] = {}
        self._resumable = Extension.RESUME in extensions
        self._session_id = session_id
        self._init = init
        self._binary = Extension.BINARY_AUDIO in extensions
        self._acked = Extension.AUDIO_ACK in extensions
        self._ledger = ledger
        self._ring = ring
        self._lock = asyncio.Lock()
        self._sent_times: deque[tuple[int, float]] = deque(maxlen=_KEPT_TIMES)
        self._seq = 0
        self._finalizes = 0
        self._finalized_at = 0
        self._quiet_until_s = 0.0

    def be_quiet(self, wait_ms: int) -> None:
        """Send no audio for ``wait_ms``: the service asked for it."""
        self._quiet_until_s = time.monotonic() + wait_ms / 1000

    def sent_age_ms(self, sample: int) -> float:
        """Tell how long ago a sample was sent; 0 when that is not known (any more)."""
        sent_s = next((at for end, at in self._sent_times if end >= sample), None)
        return (time.monotonic() - sent_s) * 1000 if sent_s is not None else 0.0

    @property
    def held_sample(self) -> int:
        """Give the first sample that can still be sent."""
        return self._ring.start

    async def audio(self, pcm: bytes) -> None:
        """Send PCM16; without a connection it is kept to be sent later."""
        async with self._lock:
            self._ring.append(pcm)
            self._sent_times.append((self._ring.end, time.monotonic()))
            await self._put(self._audio(pcm))

    async def end_of_utterance(self) -> None:
        """End the utterance being spoken; without audio since the last end nothing is sent."""
        async with self._lock:
            if self._ring.end == self._finalized_at:
                return
            self._finalized_at = self._ring.end
            self._finalizes += 1
            name = f"u{self._finalizes}"
            self._ledger.finalize_sent(name)
            self._track.ended(self._ring.end, name)
            await self._put(self._end(name))

    async def again(self, failed: wire.UtteranceFailed, pcm: bytes, utterance_index: int) -> None:
        """Send a lost utterance once more, whole, as the utterance ``utterance_index``.

        Its samples count as new ones of the session's audio, so they go into the ring as well.
        """
        async with self._lock:
            start = self._ring.end
            self._ring.append(pcm)
            self._finalized_at = self._ring.end
            self._track.whole(Whole(start, self._ring.end, utterance_index, failed))
            await self._put(*self._whole(failed, pcm, utterance_index))

    async def update(self, changes: dict[str, Any]) -> None:
        """Change settings from the next utterance on."""
        async with self._lock:
            self._update |= {name: value for name, value in changes.items() if value is not None}
            await self._put(wire.SessionUpdate(session_id=self._session_id, **changes))

    async def say(self, message: Message) -> None:
        """Send what is of no use later; without a connection it is left out."""
        await self._put(message)

    def cut_at(self, sample: int) -> None:
        """Note where the service cut, so that audio sent again is cut there again."""
        at = self._ring.boundary(sample)
        if at is not None:
            self._track.ended(at)

    def done_below(self, sample: int) -> None:
        """Note that all audio before ``sample`` has its outcome."""
        self._track.forget_below(sample)

    def hold(self) -> int:
        """Send nothing more over the connection; return the first sample that is not sent over it."""
        self._link = None
        return self._ring.end

    async def go_on(self, link: Link, session_id: str, sample: int) -> None:
        """Send again from ``sample`` on over a new connection, then whatever comes.

        :raises LinguaError: that connection is lost too; nothing is lost with it.
        """
        async with self._lock:
            self._link, self._session_id = link, session_id
            if self._update:
                await self._put(wire.SessionUpdate(session_id=session_id, **self._update))
            start = max(sample, self._ring.start)
            for step in self._track.steps(start, self._ring.end, self._ledger.unanswered):
                await self._put(*self._step(step))

    def answerable(self, sample: int) -> frozenset[str]:
        """Name the finalizes that are sent again when the session goes on at ``sample``."""
        steps = self._track.steps(max(sample, self._ring.start), self._ring.end, self._ledger.unanswered)
        return frozenset(step.name for step in steps if isinstance(step, End))

    def _step(self, step: Step) -> list[Message | bytes]:
        if isinstance(step, End):
            return [self._end(step.name)]
        pcm = self._ring.read(step.start, step.end) or b""
        if isinstance(step, Whole):
            index = self.renumber(step.index)
            self._track.whole(Whole(step.start, step.end, index, step.failed))
            return self._whole(step.failed, pcm, index)
        return [self._audio(pcm[at : at + CHUNK_BYTES]) for at in range(0, len(pcm), CHUNK_BYTES)]

    def _audio(self, pcm: bytes) -> Message | bytes:
        seq = self._next_seq()
        if self._binary:
            return frames.pack(frames.Kind.CLIENT_AUDIO, pcm, seq=seq, samples=len(pcm) // 2)
        payload = encode_base64(pcm)
        return wire.AudioChunk(session_id=self._session_id, seq=seq, is_final=False, payload=payload)

    def _end(self, name: str) -> Message:
        return wire.AudioChunk(
            session_id=self._session_id,
            seq=self._next_seq(),
            is_final=True,
            payload="",
            client_utterance_id=name if name and self._ledger.reports else None,
        )

    def _whole(self, failed: wire.UtteranceFailed, pcm: bytes, utterance_index: int) -> list[Message | bytes]:
        framed = self._binary
        message = wire.Utterance(
            **self._init.model_dump(include=_LANGUAGES),
            session_id=self._session_id,
            utterance_index=utterance_index,
            manual_cut=True,
            audio_format=AudioFormat.PCM16,
            sample_rate=SAMPLE_RATE,
            audio=None if framed else encode_base64(pcm),
            audio_follows=framed or None,
            resend_of=failed.utterance_index,
            from_sample=failed.resend_from_sample,
        )
        if not framed:
            return [message]
        return [message, *_frames_of(pcm, utterance_index)]

    async def _put(self, *sent: Message | bytes) -> None:
        """Send, if there is a connection. One that breaks is the reader's to notice: what is in the ring goes again."""
        link = self._link
        try:
            for each in sent:
                if link is not None and link is self._link:
                    async with asyncio.timeout(_SEND_S if self._resumable else None):
                        await (link.send_frame(each) if isinstance(each, bytes) else link.send(each))
        except (LinguaError, TimeoutError):
            if not self._resumable:
                raise
            if self._link is link:
                self._link = None

    async def wait_for_room(self, progress: Progress, stalled: Callable[[], bool], settings: SessionSettings) -> None:
        """Hold the sender while the service is behind, at most ``hold_timeout_s``; then the oldest audio may be lost.

        :raises AudioError: the service is behind because nobody reads its events (``NO_READER``).
        """
        await asyncio.sleep(max(0.0, self._quiet_until_s - time.monotonic()))
        if not self._acked:
            return
        with contextlib.suppress(TimeoutError):
            await progress.until(lambda: not self._behind(), settings.hold_timeout_s)
        if self._behind() and stalled():
            raise AudioError("NO_READER", "events wait unread, so the session stands still")

    def _behind(self) -> bool:
        unheld = self._ring.end - self.received if self._link is not None else 0
        unconsumed = self._ring.end - self.consumed
        return unheld > _WINDOW_SAMPLES or unconsumed > self._ring.capacity_samples

    def _next_seq(self) -> int:
        self._seq += 1
        return self._seq - 1


def _frames_of(pcm: bytes, utterance_index: int) -> list[bytes]:
    """Pack a whole utterance; the last frame says that it is the last."""
    kind, size = frames.Kind.CLIENT_UTTERANCE, _FRAME_PCM_BYTES
    parts = [pcm[start : start + size] for start in range(0, len(pcm), size)] or [b""]
    end = len(parts) - 1
    return [
        frames.pack(kind, part, index=utterance_index, seq=number, samples=len(part) // 2, last=number == end)
        for number, part in enumerate(parts)
    ]


class Progress:
    """Wake those who wait for the session to move on; ``over`` is the end of all waiting."""

    def __init__(self) -> None:
        self._moved = asyncio.Event()
        self.over = False

    def made(self) -> None:
        """Note that something came."""
        self._moved.set()

    def end(self) -> None:
        """Note that nothing will come any more."""
        self.over = True
        self._moved.set()

    async def until(self, happened: Callable[[], bool], quiet_s: float) -> None:
        """Wait until it happened or the session is over.

        :raises TimeoutError: nothing at all came for ``quiet_s``.
        """
        while not happened() and not self.over:
            self._moved.clear()
            async with asyncio.timeout(quiet_s):
                await self._moved.wait()
