"""The routes of the API, by subject.

auth       who is asking, and may they: cookies, tokens, CSRF, sign-in
live       what happens now, and its stream
facts      the stream of all that happens
people     agents, and what a supervisor has them do
queues     queues, members, numbers, blocked callers
callbacks  the book of callbacks
calls      search, one call's story, its recording; the report
hints      which calls a person should listen to
webhooks   which program gets which facts
admin      accounts, tokens, the audit log
"""
