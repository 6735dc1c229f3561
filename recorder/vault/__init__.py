"""Recordings at rest: encrypted, and given out through one door.

crypt     the form of an encrypted file: AES-GCM in chunks, a writer in constant memory, a reader that seeks (no keys)
keys      master keys from a file or the environment, and each recording's own key, wrapped by one of them
reading   the one door: a recording's plain bytes, whether it lies encrypted or not
rotation  wrap every recording's key with another master key, without writing sound again
"""
