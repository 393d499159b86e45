"""The protocols that clients speak, one module each; `PROTOCOLS` says which is served where."""

from collections.abc import Mapping

from gateway.protocols.asr import Asr
from gateway.protocols.base import ProtocolFactory

PROTOCOLS: Mapping[str, ProtocolFactory] = {"/asr": Asr()}
