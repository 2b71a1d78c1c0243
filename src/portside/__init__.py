"""Portside: an AWS-compatible ECS control plane that really runs the containers."""

__version__ = "0.1.0"
