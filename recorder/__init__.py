"""Sound: every call becomes one stereo file, citizen left and agent right, and one row of the ledger (R45).

policy     whether a recording is whole, and where it lies (pure)
audit      whether every answered second of a call is on record, or which entry says why not (pure)
tape       raw sound → a finished file: bounded memory, atomic, hashed
forms      MP4, WAV, MP3: what a finished file says about itself
press      raw sound → MP4 or MP3, and back, by ffmpeg
sound      one pass over the raw sound: level of each side, long silences, talk-over, waveform (pure)
waveform   the waveform as a player draws it, and where nobody is heard (pure)
intervals  what stretches of time have in common (pure)
voice      who speaks when, window by window (pure)
hints      which calls a person should listen to, and where, by rule (pure)
levels     a finished file, read once: SHA-256, duration, when each side is heard
entry      a row of the ledger, and what was measured in its sound
ledger     the table `recording`: enter, look up
finishing  from a raw file to a row: what is to be made of it, and how the recording is judged
copying    a finished recording, read as a whole: export, verify
parts      what is not in a recording as it was spoken, and why: holds, pauses, what is lost (pure)
playing    a part of a recording into a player or a pipe
exports    a second person approves what leaves
spool      which raw files lie in Asterisk's spool
backlog    what the recorder has yet to do, how fast it goes on, and what it says of that
archive    the loop of `hotline recorder`: from Asterisk's spool into the ledger
evidence   what makes a recording provable: canonical rows, Merkle trees, a chain of days (pure)
seals      each day's seal: made once, signed, chained to the day before
proofs     whether ledger, evidence and seals agree, and one call's proof
hearing    one recording heard for voices, in a process of its own
listening  the loop beside the archive that has finished recordings heard, at the lowest priority
retention  how long a recording is kept, and which rule says so (pure)
deletion   holds, confirmed rules, and deletions with their certificates
marks      places in a recording with a note; they go with it
removal    the files of one recording go, and it is seen that they are gone
stamps     what an authority outside has signed of a seal, and when (RFC 3161)
notary     the loop beside the archive that seals days, has them stamped, and looks at them again
vault      encryption at rest, and the one door to a recording's sound
tables     the tables of recordings, evidence, seals, stamps and deletions

Asterisk writes `<spool>/<call id>.raw` from the moment it answers. When the call has ended, the archive makes
`<recordings>/YYYY/MM/DD/<call id>.mp4.enc` of it, enters it, writes the fact into the diary, and only then removes the
raw file. Without encryption it ends with `.mp4`. A crash at any point repeats the work; nothing is entered twice and
nothing is lost.
"""
