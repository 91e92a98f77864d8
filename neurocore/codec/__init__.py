"""Convert values to bytes and back, equal and of the same type (promise 9), or refuse them by name.

The bytes are MessagePack; what MessagePack cannot express becomes an extension whose payload is MessagePack again.
Plain values (None, booleans, 64-bit integers, floats, text, bytes, lists, dicts with text keys) cost one check each and
one call of msgspec. Classes are stored by module and name. Decoding looks them up in the modules that skills have
loaded (`neurocore.modules`), and calls only their constructor; a class that is gone or has changed is an error that
names it.
"""

from neurocore.codec.decoding import decode, restore, secrets_in
from neurocore.codec.encoding import canonical, encode, is_immutable, know_view
from neurocore.codec.jsonable import data, from_jsonable, plain, to_jsonable
from neurocore.codec.slicing import SLICE, Encoded, slices
from neurocore.codec.tags import MAX_BYTES, MAX_DEPTH, SecretRef, Unreadable, register_codec
from neurocore.errors import CodecError

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "SLICE",
    "CodecError",
    "Encoded",
    "SecretRef",
    "Unreadable",
    "canonical",
    "data",
    "decode",
    "encode",
    "from_jsonable",
    "is_immutable",
    "know_view",
    "plain",
    "register_codec",
    "restore",
    "secrets_in",
    "slices",
    "to_jsonable",
]
