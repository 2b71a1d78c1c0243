"""The service machine: records (`record`), `plan` (`scheduler`), event texts (`event`)."""
