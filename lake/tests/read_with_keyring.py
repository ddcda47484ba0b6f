"""Reads a Forebay file with PyArrow alone: what a user without our code would write.

    python read_with_keyring.py keyring.json file.parquet

prints every column's values as JSON: times in microseconds, bytes in base64. Needs pyarrow and cryptography.
"""

import base64
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.parquet.encryption as pe
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Keyring(pe.KmsClient):
    """Master keys in keyring.json; wrapped keys are base64(nonce, ciphertext, tag) bound to the master key's id."""

    def __init__(self, path):
        super().__init__()
        with open(path) as file:
            self.keys = json.load(file)["keys"]

    def wrap_key(self, key_bytes, master_key_identifier):
        raise NotImplementedError("this client only reads")

    def unwrap_key(self, wrapped_key, master_key_identifier):
        name, version = master_key_identifier.rsplit(".v", 1)
        key = base64.b64decode(self.keys[name]["versions"][version])
        wrapped = base64.b64decode(wrapped_key)
        return AESGCM(key).decrypt(wrapped[:12], wrapped[12:], master_key_identifier.encode())


def read(keyring, path):
    factory = pe.CryptoFactory(lambda config: Keyring(keyring))
    keys = factory.file_decryption_properties(pe.KmsConnectionConfig())
    with pq.ParquetFile(path, decryption_properties=keys) as file:
        return file.read()


def shown(column):
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values = column.to_pylist()
    return [base64.b64encode(v).decode() if isinstance(v, bytes) else v for v in values]


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[0] == "--without-keys":
        table = pq.read_table(arguments[1])
    else:
        table = read(*arguments)
    json.dump({name: shown(table[name]) for name in table.column_names}, sys.stdout)
