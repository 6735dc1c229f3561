"""The seam to Asterisk. All that Asterisk reports comes in here; everything but the voice session goes out here.

link            one AMI connection to one node: messages in order, actions with an answer or a clear error (panoramisk)
channels        AMI messages → facts (pure): who arrived, which phone rings, who answered, who hung up first
actions         actions about one channel that several verbs send (pure)
switch          the verbs: hang up, stop ringing, stop a prompt, fetch back, read what exists
pulse           which phone has died in a talk, and which is only silent (pure)
in_call         copies of SIP messages → whether a phone answers when it is asked within its call (pure)
guesses         refused sign-ins of the last minute (pure)
refused         copies of SIP messages → calls that had no channel, and numbers that are not ours (pure)
answers         copies of SIP messages → a dialled citizen's answer that crosses our cancel (pure)
referrals       copies of SIP messages → transfers, and dialogues that a phone leaves open after one (pure)
hang_over       asks Asterisk to end such a dialogue
leaving         agents' phones that have handed their citizen on, and are not free before their SIP call is over
hep             where those copies arrive
supervisors     supervisors' legs among the channels (pure)
supervised      who is in whose talk, as Asterisk tells it
supervision     what supervisors ask for: listen, whisper, step in, take over, leave, end
parties         third parties in a talk, as AMI tells of them (pure)
left_callbacks  goes on recording a callback whose agent has left it to the citizen and a third party
bring_in        the verbs about them: call, have the citizen hear music, join, mute, drop
emergency       citizens who are dropped in an emergency are called back (R16)
party_ends      what CEL knows of them while nobody was told (pure)
talk_verbs      the verbs within a talk: hold, mute, hand on, end
pauses          recordings that agents have paused, and how each pause ends
outbound        callbacks on the wire, and inbound first
texts           texts on the displays of agents' phones, and what they answered
trunks          which of the operator's trunks are there, and by which a call leaves
cel             Asterisk's own record → the facts that were missed while the controller or the link was away (pure)
catch_up        what CEL knows and what AMI has told meanwhile, in one order (pure)
cel_file        the lines of that record since a moment
queue_log       facts → lines in the format of Asterisk's queue_log (pure)
queue_log_file  those lines on disk
realtime        the views that Asterisk reads from the database (pure)
certificates    the certificate of SIP over TLS: looked at, and given to Asterisk
phones          with PostgreSQL, the copy of the roster that Asterisk reads instead
oneshot         one question and its answer, for the command line and cron (pyst2, no event loop)

`link` gives every message to `Calls.read`, and the facts go to the desk. After each (re)connection `switch.read_state`
compares what Asterisk has with what `calls` knows; `catch_up` adds from CEL what happened in between, and exact times.
The conversation with a caller (AGI) is no part of this: it is `ivr`.
"""
