"""The protocols that clients speak; `PROTOCOLS` maps each path to its own."""

from collections.abc import Mapping

from gateway.protocols.asr import Asr
from gateway.protocols.base import ProtocolFactory

PROTOCOLS: Mapping[str, ProtocolFactory] = {"/asr": Asr()}
