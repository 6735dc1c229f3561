"""The routes of the API, by subject.

auth        who is asking, and may they: cookies, tokens, CSRF, sign-in
live        what happens now, and its stream
facts       the stream of all that happens
people      agents, and what a supervisor has them do
queues      queues, members, numbers, blocked callers
callbacks   the book of callbacks
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
