"""Sound: every call becomes one stereo file, citizen left and agent right, and one row of the ledger (R45).

policy    whether a recording is whole, and where it lies (pure)
audit     whether every answered second of a call is on record, or which entry says why not (pure)
tape      raw sound → WAV: bounded memory, atomic, hashed
levels    a finished WAV, read once: SHA-256, duration, when each side is heard
ledger    the table `recording`: enter, look up, export, verify
archive   the loop of `hotline recorder`: from Asterisk's spool into the ledger
evidence  what makes a recording provable: canonical rows, Merkle trees, a chain of days (pure)
seals     each day's seal: made once, signed, chained to the day before
proofs    whether ledger, evidence and seals agree, and one call's proof
stamps    what an authority outside has signed of a seal, and when (RFC 3161)
notary    the loop beside the archive that seals days, has them stamped, and looks at them again
tables    the tables of recordings, evidence, seals and stamps

Asterisk writes `<spool>/<call id>.raw` from the moment it answers. When the call has ended, the archive makes
`<recordings>/YYYY/MM/DD/<call id>.wav` of it, enters it, writes the fact into the diary, and only then removes the raw
file. A crash at any point repeats the work; nothing is entered twice and nothing is lost.
"""
