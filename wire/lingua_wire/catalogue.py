"""Which message may travel which way, by the name in its ``type``."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from lingua_wire import node_messages as node
from lingua_wire import room_messages as room
from lingua_wire import session_messages as session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lingua_wire.fields import Message

Models: TypeAlias = "Mapping[str, type[Message]]"


class Direction(StrEnum):
    """Who speaks to whom."""

    FROM_CLIENT = "client to scheduler"
    TO_CLIENT = "scheduler to client"
    FROM_NODE = "node to scheduler"
    TO_NODE = "scheduler to node"


def _by_type(*models: type[Message]) -> Models:
    return MappingProxyType({model.type: model for model in models})


#: All messages, in the order in which docs/protocol.md lists them.
CATALOGUE: Final[Mapping[Direction, Models]] = MappingProxyType(
    {
        Direction.FROM_CLIENT: _by_type(
            session.SessionInit,
            session.AudioChunk,
            session.Utterance,
            session.ClientHeartbeat,
            session.EventAck,
            session.SessionUpdate,
            session.SessionClose,
            session.TtsStarted,
            session.TtsPlayEnded,
            room.RoomCreate,
            room.RoomJoin,
            room.RoomLeave,
            room.RoomRawVoicePreference,
            room.WebrtcOffer,
            room.WebrtcAnswer,
            room.WebrtcIce,
        ),
        Direction.TO_CLIENT: _by_type(
            session.SessionInitAck,
            session.SessionResumed,
            session.AsrPartial,
            session.TranslationResult,
            session.MissingResult,
            session.UiEvent,
            session.ServerHeartbeat,
            session.SessionCloseAck,
            session.LanguageDetected,
            session.Backpressure,
            session.Error,
            session.AudioAck,
            session.UtteranceFinalized,
            session.UtteranceSkipped,
            session.UtteranceFailed,
            session.GoingAway,
            room.RoomCreateAck,
            room.RoomMembers,
            room.RoomError,
            room.RoomExpired,
            room.WebrtcOffer,
            room.WebrtcAnswer,
            room.WebrtcIce,
        ),
        Direction.FROM_NODE: _by_type(
            node.NodeRegister,
            node.NodeHeartbeat,
            node.JobAck,
            node.JobStarted,
            node.NodeAsrPartial,
            node.JobResult,
            node.NodeError,
        ),
        Direction.TO_NODE: _by_type(
            node.NodeRegisterAck,
            node.JobAssign,
            node.JobCancel,
            node.NodeControl,
        ),
    }
)
