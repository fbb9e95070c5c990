"""The messages of rooms on ``/ws/session``, both ways (docs/protocol.md, Rooms)."""

from typing import Annotated, ClassVar

from pydantic import Field

from lingua_wire.fields import (
    MAX_ITEMS,
    Clock,
    JsonObject,
    Message,
    Name,
    Part,
    Sdp,
    Sentence,
)
from lingua_wire.ids import Id, Language


class RoomCreate(Message):
    """Open a room."""

    type: ClassVar[str] = "room_create"
    client_ts: Clock | None = None
    display_name: Name | None = None
    preferred_lang: Language | None = None


class RoomJoin(Message):
    """Enter a room."""

    type: ClassVar[str] = "room_join"
    room_code: Name
    display_name: Name | None = None
    preferred_lang: Language | None = None


class RoomLeave(Message):
    """Leave a room."""

    type: ClassVar[str] = "room_leave"
    room_code: Name


class RoomRawVoicePreference(Message):
    """Say whether to hear another member's own voice."""

    type: ClassVar[str] = "room_raw_voice_preference"
    room_code: Name
    target_session_id: Id
    receive_raw_voice: bool


class WebrtcOffer(Message):
    """Signalling, relayed: ``to`` is the receiver on the way in and the sender on the way out."""

    type: ClassVar[str] = "webrtc_offer"
    room_code: Name
    to: Id
    sdp: Sdp | JsonObject


class WebrtcAnswer(Message):
    """Signalling, relayed as :class:`WebrtcOffer` is."""

    type: ClassVar[str] = "webrtc_answer"
    room_code: Name
    to: Id
    sdp: Sdp | JsonObject


class WebrtcIce(Message):
    """Signalling, relayed as :class:`WebrtcOffer` is."""

    type: ClassVar[str] = "webrtc_ice"
    room_code: Name
    to: Id
    candidate: Sdp | JsonObject | None = None


class RoomCreateAck(Message):
    """Give the code of a room that was opened or entered."""

    type: ClassVar[str] = "room_create_ack"
    room_code: Name
    room_id: Id | None = None


class RoomMember(Part):
    """One person in a room."""

    participant_id: Id
    session_id: Id
    display_name: Name | None = None
    preferred_lang: Language | None = None
    raw_voice_preferences: JsonObject | None = None
    joined_at: Clock


class RoomMembers(Message):
    """Everybody in a room, each time it changes."""

    type: ClassVar[str] = "room_members"
    room_code: Name
    members: Annotated[tuple[RoomMember, ...], Field(strict=False, max_length=MAX_ITEMS)]


class RoomError(Message):
    """Refuse a room message; ``code`` is one of :class:`~lingua_wire.codes.RoomErrorCode`."""

    type: ClassVar[str] = "room_error"
    code: Name
    message: Sentence | None = None


class RoomExpired(Message):
    """Tell that a room is no more."""

    type: ClassVar[str] = "room_expired"
    room_code: Name
    message: Sentence
