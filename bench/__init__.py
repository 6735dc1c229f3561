"""The same work beside app_queue, on the same Asterisk, in one run: `make bench`.

measure     runs the measurements and lays out the table; start here
side        one centre, and its sides: app_queue without the controller, Hotline with it, and the limits
bare_loop   a limit: the smallest program that does a queue's work
phone       simulated agents and callers: SIP over one socket, each INVITE and BYE with its moment
in_talk     what a supervisor who listens and a third party add to a talk
talks       what recording adds to a talk, beside app_queue's own
rate        one controller at 250 calls a second, and with 1,000 agents
exchange    a scripted Asterisk that plays `call.jsonl` again and again
watched     `hotline serve` with a watch on its event loop
floor       the floor alone: what a fact costs
simulator   how long a million simulated calls take, and the staffing of a week
report      how long a report takes
search      how long a search among two million calls takes
audit       how long an audit of 100,000 recordings takes
press       what finishing a recording costs, beside ffmpeg alone
unfinished  how fast 10,000 recordings are worked off
vault       what the encryption of recordings costs
listening   first sound in a browser after a seek
words       how well phrases are found by machine (not in `make bench`: it needs the extra `speech`)
voice       how fast recordings are listened to, beside ffmpeg's silencedetect
screens     from a fact in Asterisk to the screens (not in `make bench`: `python -m bench.screens`)
made_up     a controller without Asterisk, whose callers and agents are made up
fanout      200 screens of 1,000 agents: CPU of `hotline web`, and how late they are (`--only screens`)
stalls      how long the controller's loop stands still, in a day and at a start
memory      what a million calls in one process leave behind (not in `make bench`: it takes half an hour)
figures     percentiles, processor time, SIPp's counts, the table (pure)
*.xml       what SIPp does as a caller
"""
