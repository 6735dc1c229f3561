"""A time stamp authority: `openssl ts` behind HTTP, with a root of its own."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_CONFIG: Final = """
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_alg = sha256
"""
Answer = Callable[[bytes], tuple[int, bytes]]
"""A query → status and body."""


class Authority:
    """`root`: its certificate. `answer` may be replaced by a test."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root.pem"
        self.url = ""
        self.asked = 0
        self.answer: Answer = self.stamped
        self._folder = folder
        _certificates(folder)
        (folder / "serial").write_text("01\n")
        (folder / "tsa.cnf").write_text(_CONFIG.format(folder=folder))

    def stamped(self, query: bytes) -> tuple[int, bytes]:
        """A stamp, as openssl makes it."""
        (self._folder / "query").write_bytes(query)
        command = ["openssl", "ts", "-reply", "-config", str(self._folder / "tsa.cnf")]
        command += ["-queryfile", str(self._folder / "query"), "-out", str(self._folder / "reply")]
        subprocess.run(command, check=True, capture_output=True)
        return 200, (self._folder / "reply").read_bytes()


@contextmanager
def authority(folder: Path) -> Iterator[Authority]:
    """Let one listen on a free port of this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    one = Authority(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["Content-Length"]))
            one.asked += 1
            status, body = one.answer(query)
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        one.url = f"http://127.0.0.1:{server.server_address[1]}/tsr"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield one
        server.shutdown()
        thread.join()


def _certificates(folder: Path) -> None:
    """A root, and a certificate of it that may stamp and nothing else."""
    now = datetime.now(UTC)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name, name = (
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, said)]) for said in ("Root", "Stamps")
    )

    def made(subject: x509.Name, its: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(its.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
        )

    root = made(root_name, root_key).add_extension(x509.BasicConstraints(True, 0), critical=True)
    only = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING])
    stamps = made(name, key).add_extension(only, critical=True)
    for file, one in (("root.pem", root), ("tsa.pem", stamps)):
        (folder / file).write_bytes(one.sign(root_key, SHA256()).public_bytes(Encoding.PEM))
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "tsa.key").write_bytes(key.private_bytes(*form))
