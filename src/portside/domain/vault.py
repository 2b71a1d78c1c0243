"""What the store knows of the vault."""

from portside.domain.record import Record


class VaultKey(Record, frozen=True, kw_only=True):
    """`fingerprint` (hexadecimal) tells whether the key that is there is the one that sealed what is stored."""

    fingerprint: str
