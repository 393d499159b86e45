"""The engine's benchmark: policy and model side by side with baselines, without any server."""
