"""The model that is measured, in the precision and with the encoder that is asked for (door: torch)."""

from functools import cached_property

from gpu_worker.model.checkpoint import locate
from gpu_worker.model.loading import precision_for
from gpu_worker.model.nn.compaction import EncoderSettings
from gpu_worker.model.nn.linear import Precision
from gpu_worker.model.recognizer import Weights, WhisperRecognizer
from scripts.capacity.step_timing import find_device


class Model:
    """A checkpoint on a device.

    Raises:
        ModelUnavailableError: it cannot be had.
        NoDeviceError: there is no such device.
    """

    def __init__(self, asked: str, device: str) -> None:
        file = locate.locate(asked, cache_dir=locate.default_cache_dir())
        dims, state = locate.load_checkpoint(file)
        official = locate.official_name(asked, file)
        self.asked = asked
        self.device = find_device(device)
        self.weights = Weights(official or file.stem, official, file, dims, state)

    @property
    def name(self) -> str:
        """Return what people call it."""
        return self.weights.name

    @cached_property
    def recognizer(self) -> WhisperRecognizer:
        """Return it loaded as a worker would."""
        return self.load()

    def load(self, precision: Precision | None = None, encoder: EncoderSettings | None = None) -> WhisperRecognizer:
        """Load it; in the precision that a worker would choose, if none is named."""
        recognizer = WhisperRecognizer(
            self.weights,
            precision=precision or precision_for(self.device, self.weights.dims.n_audio_state),
            device=self.device,
            device_name=str(self.device),
            encoder=encoder,
        )
        recognizer.load()
        return recognizer
