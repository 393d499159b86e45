"""The door to torch and whisper: a model's name becomes a checked file, and audio becomes words."""

from gpu_worker.model.loading import default_model, load_recognizer

__all__ = ["default_model", "load_recognizer"]
