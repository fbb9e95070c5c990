"""A certificate authority for one run of the bed: who the server is, and who its users are."""

from __future__ import annotations

import base64
import ipaddress
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

if TYPE_CHECKING:
    from pathlib import Path

#: The group of the users who may do everything.
MASTERS = "system:masters"
_LIFE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pem:
    """A certificate and its key."""

    certificate: bytes
    key: bytes

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write both to files and return where they are."""
        where = directory / f"{name}.crt", directory / f"{name}.key"
        where[0].write_bytes(self.certificate)
        where[1].write_bytes(self.key)
        return where


class Authority:
    """Signs certificates of the loopback's server and of users."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("lingua test authority")
        certificate = (
            _builder(self._name, self._name, self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pem = certificate.public_bytes(serialization.Encoding.PEM)

    def server(self) -> Pem:
        """Make the certificate of a server on the loopback."""
        names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        return self._sign(_name("kube-apiserver"), x509.SubjectAlternativeName(names))

    def user(self, name: str, group: str = MASTERS) -> Pem:
        """Make the certificate of a user, as Kubernetes reads it: the name is the common name, the group is O."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._sign(_name(name, group), usage)

    def _sign(self, subject: x509.Name, extension: x509.ExtensionType) -> Pem:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(subject, self._name, key).add_extension(extension, critical=False).sign(self._key, hashes.SHA256())
        )
        return Pem(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Write a private key the way Kubernetes reads all of its keys."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def write_kubeconfig(path: Path, url: str, authority: bytes, user: Pem | str, namespace: str = "default") -> Path:
    """Write a kubeconfig with everything inside it; JSON is YAML.

    :param user: a certificate, or a bearer token.
    """
    credentials: dict[str, Any] = (
        {"token": user}
        if isinstance(user, str)
        else {"client-certificate-data": _text(user.certificate), "client-key-data": _text(user.key)}
    )
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bed",
        "clusters": [{"name": "bed", "cluster": {"server": url, "certificate-authority-data": _text(authority)}}],
        "users": [{"name": "bed", "user": credentials}],
        "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "bed", "namespace": namespace}}],
    }
    path.write_text(json.dumps(document))
    path.chmod(0o600)
    return path


def _text(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def _name(common: str, group: str = "") -> x509.Name:
    parts = [x509.NameAttribute(x509.NameOID.COMMON_NAME, common)]
    if group:
        parts.append(x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, group))
    return x509.Name(parts)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFE)
    )
