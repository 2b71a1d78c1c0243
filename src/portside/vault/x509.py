"""X.509: what a certificate says, whether a key fits it, and an authority that issues for any name."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ISSUED_FOR: Final = timedelta(days=395)
"""As Certificate Manager's own: thirteen months."""
AUTHORITY_FOR: Final = timedelta(days=3650)
_CURVES: Final = {"EC_prime256v1": ec.SECP256R1(), "EC_secp384r1": ec.SECP384R1(), "EC_secp521r1": ec.SECP521R1()}
_CURVE_NAMES: Final = {curve.name: name for name, curve in _CURVES.items()}
_RSA_BITS: Final = (1024, 2048, 3072, 4096)


class CertificateInvalid(Exception):
    """It is no certificate, key or chain, or they do not belong together; the message says which."""


class KeyMismatch(CertificateInvalid):
    """A private key is another certificate's."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    domain_name: str
    names: tuple[str, ...]
    serial: str
    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    key_algorithm: str
    signature_algorithm: str


def facts(certificate_pem: str) -> Facts:
    """Raises CertificateInvalid."""
    certificate = _certificate(certificate_pem)
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names = tuple(extension.value.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        names = ()
    except ValueError as error:
        raise CertificateInvalid("Could not parse certificate") from error
    common = [str(each.value) for each in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    domain_name = next(iter((*common, *names)), "")
    name = certificate.signature_algorithm_oid._name.upper()  # e.g. sha256WithRSAEncryption
    if isinstance(key := certificate.public_key(), rsa.RSAPublicKey):
        algorithm = f"RSA_{key.key_size}"
        known = key.key_size in _RSA_BITS
    else:
        algorithm = _CURVE_NAMES.get(key.curve.name, "") if isinstance(key, ec.EllipticCurvePublicKey) else ""
        known = bool(algorithm)
    if not known:
        raise CertificateInvalid("The certificate's key algorithm is not supported")
    return Facts(
        domain_name=domain_name,
        names=names or ((domain_name,) if domain_name else ()),
        serial=":".join(f"{byte:02x}" for byte in _serial_bytes(certificate.serial_number)),
        subject=_shown(certificate.subject),
        issuer=_shown(certificate.issuer),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key_algorithm=algorithm,
        signature_algorithm=name.replace("WITHRSAENCRYPTION", "WITHRSA").replace("ECDSA-WITH-SHA", "ECDSAWITHSHA"),
    )


def check_pair(certificate_pem: str, key_pem: str) -> str:
    """The private key as PKCS #8 in PEM, if it is the certificate's. Raises CertificateInvalid, KeyMismatch."""
    try:
        key = serialization.load_pem_private_key(key_pem.encode(), password=None)
    except TypeError as error:
        raise CertificateInvalid("The private key is encrypted. It must be unencrypted") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateInvalid("The private key is not in a valid PEM format") from error
    spki = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*spki) != _certificate(certificate_pem).public_key().public_bytes(*spki):
        raise KeyMismatch("The private key does not match the certificate")
    return _key_pem(key)  # type: ignore[arg-type]


def check_chain(certificate_pem: str, chain_pem: str) -> None:
    """Each certificate is issued by the one after it. Raises CertificateInvalid."""
    try:
        chain = x509.load_pem_x509_certificates(chain_pem.encode())
    except ValueError as error:
        raise CertificateInvalid("Could not parse certificate chain") from error
    below = _certificate(certificate_pem)
    for above in chain:
        try:
            below.verify_directly_issued_by(above)
        except Exception as error:  # ValueError, TypeError, InvalidSignature: not issued by it, whatever the reason
            raise CertificateInvalid("Could not validate the certificate with the certificate chain") from error
        below = above


def _certificate(pem: str) -> x509.Certificate:
    try:
        found = x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise CertificateInvalid("Could not parse certificate") from error
    if len(found) != 1:
        raise CertificateInvalid("The certificate field contains more than one certificate")
    return found[0]


def _serial_bytes(serial: int) -> bytes:
    return serial.to_bytes(max(1, (serial.bit_length() + 7) // 8), "big")


def _shown(name: x509.Name) -> str:
    return ",".join(part.rfc4514_string() for part in name.rdns)


def _key_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


# --- issuing --------------------------------------------------------------------------------------------------------


def make_authority(now: datetime) -> tuple[str, str]:
    """A new root: its certificate and private key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Portside local authority")])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    root = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + AUTHORITY_FOR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return root.public_bytes(serialization.Encoding.PEM).decode(), _key_pem(key)


def issue(
    authority_pem: str, authority_key_pem: str, names: Sequence[str], algorithm: str, now: datetime
) -> tuple[str, str]:
    """A certificate for these names and its private key, both in PEM.

    Args: algorithm: AWS's name, such as RSA_2048 or EC_prime256v1."""
    root = _certificate(authority_pem)
    signer = serialization.load_pem_private_key(authority_key_pem.encode(), password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if algorithm.startswith("RSA_"):
        key = rsa.generate_private_key(public_exponent=65537, key_size=int(algorithm.removeprefix("RSA_")))
    else:
        key = ec.generate_private_key(_CURVES[algorithm])
    common = [x509.NameAttribute(NameOID.COMMON_NAME, names[0])] if len(names[0]) <= 64 else []
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(common))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(min(now + ISSUED_FOR, root.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=not common)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)  # type: ignore[arg-type]
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), _key_pem(key)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
