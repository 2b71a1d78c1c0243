"""The task machine: records, facts and effects (`record`), `observe` and `plan` (`machine`), checks (`invariant`)."""
