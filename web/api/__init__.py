"""The routes of the API, by subject.

auth        who is asking, and may they: cookies, tokens, CSRF, sign-in
live        what happens now, and its stream
alerts      the red button, and the urgent matters
messages    what supervisors write to agents
waiting     who waits, and what is decided for one of them
facts       the stream of all that happens
people      agents, and what a supervisor has them do
supervise   agents' talks: listen, whisper, step in, take over, end
parties     third parties in an agent's talk
queues      queues, members, numbers, blocked callers
callbacks   the book of callbacks
surveys     citizens' ratings, and why an agent hung up first
control     what programs do to an agent's talk
calls       search among calls or recordings, one call's story; the report
recordings  a call's recording: its sound, to listen to or to take away
listening   beside a recording: its waveform, and marks in it
exports     exports that a second person approves
reasons     why somebody reads
hints       which calls a person should listen to
words       what was said in a call, and hints of where to listen
quality     tasks, scores, appeals, draws, the monthly card
webhooks    which program gets which facts
admin       accounts, tokens, the audit log
"""
