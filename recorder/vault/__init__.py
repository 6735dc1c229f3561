"""Recordings at rest: in the local tree of days, or in one bucket of an S3-compatible store.

uploads   the loop beside the archive: recordings go to their store, and the copy here goes once that is proven
store     one bucket: put and prove, read by ranges, list, delete, lock
signed    requests to S3 that the library for the bucket lacks: locks, versions, uploads left behind
"""
