"""The same work beside app_queue, on the same Asterisk, in one run: `make bench`.

measure     runs the measurements and lays out the table; start here
side        one centre, and its two sides: app_queue without the controller, Hotline with it
phone       simulated agents and callers: SIP over one socket, each INVITE and BYE with its moment
talks       what recording adds to a talk, beside app_queue's own
floor       the floor alone: what a fact costs
report      how long a report takes
search      how long a search among two million calls takes
audit       how long an audit of 100,000 recordings takes
press       what finishing a recording costs, beside ffmpeg alone
unfinished  how fast 10,000 recordings are worked off
vault       what the encryption of recordings costs
listening   first sound in a browser after a seek
words       how well phrases are found by machine (not in `make bench`: it needs the extra `speech`)
voice       how fast recordings are listened to, beside ffmpeg's silencedetect
screens     from a fact in Asterisk to the screens
figures     percentiles, processor time, SIPp's counts, the table (pure)
*.xml       what SIPp does as a caller
"""
