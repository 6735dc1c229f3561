"""Recordings at rest: encrypted, in the local tree of days or in one bucket, and given out through one door.

crypt     the form of an encrypted file: AES-GCM in chunks, a writer in constant memory, a reader that seeks (no keys)
keys      master keys from a file or the environment, and each recording's own key, wrapped by one of them
reading   the one door: a recording's plain bytes, wherever it lies, encrypted or not
sealed    text about a recording, sealed with a key made of the recording's own
old       encrypt what lies plain from before
rotation  wrap every recording's key with another master key, without writing sound again
uploads   the loop beside the archive: recordings go to their store, and the copy here goes once that is proven
objects   what the database knows of the store's objects: how many recordings wait for it
store     one bucket of an S3-compatible store: put and prove, read by ranges, list, delete, lock
trouble   what can be wrong with a store, as a type and a sentence (pure)
seeking   a file of a known size that is read from any place
signed    requests to S3 that the library for the bucket lacks: locks, versions, uploads left behind
"""
