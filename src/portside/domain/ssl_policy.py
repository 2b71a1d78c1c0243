"""The security policies of TLS listeners, under AWS's names, with what this data plane enforces of them.

Source: Application Load Balancer user guide, "Security policies for your Application Load Balancer". Cipher suites of
AWS's policies that are CBC with SHA-256 or SHA-384 are not in the lists: BoringSSL has none of them.
"""

from typing import Final

from portside.domain.record import Record

VERSIONS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
DEFAULT: Final = "ELBSecurityPolicy-2016-08"
"""Of a listener for which none is named through the API."""

TLS13: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
_RES: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
_SHA: Final = (
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-RSA-AES256-SHA",
    "ECDHE-ECDSA-AES256-SHA",
)
_RSA_GCM: Final = ("AES128-GCM-SHA256", "AES256-GCM-SHA384")
_RSA_SHA: Final = ("AES128-SHA", "AES256-SHA")


class SslPolicy(Record, frozen=True, kw_only=True):
    """`ciphers`: TLS 1.3's first, then those of older versions, in the order of preference. `server_order`: that order
    counts, not the client's."""

    name: str
    versions: tuple[str, ...]
    ciphers: tuple[str, ...]
    server_order: bool = True


def _policy(name: str, lowest: str, ciphers: tuple[str, ...], *, tls13: bool = False) -> SslPolicy:
    highest = 4 if tls13 else 3
    versions = VERSIONS[VERSIONS.index(lowest) : highest]
    return SslPolicy(name=f"ELBSecurityPolicy-{name}", versions=versions, ciphers=(TLS13 if tls13 else ()) + ciphers)


CLASSIC_CIPHERS: Final = _RES + _SHA + _RSA_GCM + _RSA_SHA
"""What a policy of a Classic Load Balancer's own can name."""
_ALL: Final = _RES + _SHA + _RSA_GCM + _RSA_SHA
POLICIES: Final = {
    policy.name: policy
    for policy in (
        _policy("TLS13-1-3-2021-06", "TLSv1.3", (), tls13=True),
        _policy("TLS13-1-2-Res-2021-06", "TLSv1.2", _RES, tls13=True),
        _policy("TLS13-1-2-2021-06", "TLSv1.2", _RES, tls13=True),
        _policy("TLS13-1-2-Ext1-2021-06", "TLSv1.2", _RES + _RSA_GCM, tls13=True),
        _policy("TLS13-1-2-Ext2-2021-06", "TLSv1.2", _ALL, tls13=True),
        _policy("TLS13-1-1-2021-06", "TLSv1.1", _ALL, tls13=True),
        _policy("TLS13-1-0-2021-06", "TLSv1", _ALL, tls13=True),
        _policy("TLS-1-2-Ext-2018-06", "TLSv1.2", _ALL),
        _policy("TLS-1-2-2017-01", "TLSv1.2", _RES + _RSA_GCM),
        _policy("TLS-1-1-2017-01", "TLSv1.1", _ALL),
        _policy("FS-1-2-Res-2020-10", "TLSv1.2", _RES),
        _policy("FS-1-2-Res-2019-08", "TLSv1.2", _RES),
        _policy("FS-1-2-2019-08", "TLSv1.2", _RES + _SHA),
        _policy("FS-1-1-2019-08", "TLSv1.1", _RES + _SHA),
        _policy("FS-2018-06", "TLSv1", _RES + _SHA),
        _policy("2016-08", "TLSv1", _ALL),
    )
}
