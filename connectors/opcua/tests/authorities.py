"""Makes, in the folder that is its argument, a root authority, one below it, and a server's certificate signed by that: root.der, below.der,
server.der, server.key, whole.pem (all three, the server's first), alone.pem (the server's), revoked.der (a list with the server's)."""

import ipaddress
import sys
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FOLDER = Path(sys.argv[1])
# Valid by every clock of a test.
FROM, UNTIL = datetime(2020, 1, 1, tzinfo=timezone.utc), datetime(2049, 1, 1, tzinfo=timezone.utc)
DER, PEM = serialization.Encoding.DER, serialization.Encoding.PEM


def name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def usage(is_authority):
    return x509.KeyUsage(
        digital_signature=not is_authority,
        content_commitment=not is_authority,
        key_encipherment=not is_authority,
        data_encipherment=not is_authority,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def certificate(subject, key, issuer, issuer_key, is_authority):
    made = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(FROM)
        .not_valid_after(UNTIL)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(usage(is_authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if not is_authority:
        names = [x509.UniformResourceIdentifier("urn:forebay:test"), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False).add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    return made.sign(issuer_key, hashes.SHA256())


root_key, below_key, server_key = (rsa.generate_private_key(65537, 2048) for _ in range(3))
root = certificate("Root", root_key, "Root", root_key, True)
below = certificate("Below", below_key, "Root", root_key, True)
server = certificate("Press", server_key, "Below", below_key, False)
revoked = x509.RevokedCertificateBuilder().serial_number(server.serial_number).revocation_date(FROM).build()
revoked = (
    x509.CertificateRevocationListBuilder()
    .issuer_name(name("Below"))
    .last_update(FROM)
    .next_update(UNTIL)
    .add_extension(x509.CRLNumber(1), critical=False)
    .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(below_key.public_key()), critical=False)
    .add_revoked_certificate(revoked)
    .sign(below_key, hashes.SHA256())
)
for file, one in (("root", root), ("below", below), ("server", server), ("revoked", revoked)):
    (FOLDER / f"{file}.der").write_bytes(one.public_bytes(DER))
(FOLDER / "whole.pem").write_bytes(b"".join(one.public_bytes(PEM) for one in (server, below, root)))
(FOLDER / "alone.pem").write_bytes(server.public_bytes(PEM))
key = server_key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
(FOLDER / "server.key").write_bytes(key)
