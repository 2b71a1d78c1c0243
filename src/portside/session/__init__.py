"""Sessions of STS: temporary credentials, issued to callers and to tasks alike."""
