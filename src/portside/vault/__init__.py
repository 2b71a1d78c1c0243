"""Encryption at rest of what must not be readable in the store: secrets and parameters."""
