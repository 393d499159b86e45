"""The model that is measured (door: torch)."""

from functools import cached_property

from gpu_worker.model.checkpoint import locate
from gpu_worker.model.loading import precision_for
from gpu_worker.model.recognizer import Weights, WhisperRecognizer
from scripts.capacity.step_timing import find_device


class Model:
    """A checkpoint on a device; ModelUnavailableError or NoDeviceError if it cannot be had."""

    def __init__(self, asked: str, device: str) -> None:
        file = locate.locate(asked, cache_dir=locate.default_cache_dir())
        dims, state = locate.load_checkpoint(file)
        official = locate.official_name(asked, file)
        self.asked = asked
        self.device = find_device(device)
        self.name = official or file.stem
        self.weights = Weights(self.name, official, file, dims, state)

    @cached_property
    def recognizer(self) -> WhisperRecognizer:
        """It, loaded as a worker would."""
        recognizer = WhisperRecognizer(
            self.weights,
            precision=precision_for(self.device, self.weights.dims.n_audio_state),
            device=self.device,
            device_name=str(self.device),
        )
        recognizer.load()
        return recognizer
