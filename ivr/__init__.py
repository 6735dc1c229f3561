"""What a caller hears and presses.

server       Asterisk connects once for each call, and a session lives on that connection; read it first
door         who may speak here: only Asterisk, about channels that exist
session      a citizen's call: walks `script`, and does what the floor decides
callback     one attempt of a callback
way_out      an outside number is dialled, by one trunk or another
colleague    an agent calls a colleague
feature      an agent's feature code: ready, pause, out
silence      a caller who says nothing
survey       the citizen rates the talk, after the agent has left
invitations  who is asked to rate (pure)
alert        the red button on an agent's phone
harassing    a harassing caller: the phrase, and the end
recording    an agent's key that pauses the recording, or resumes it
bring_in     an agent's keys that bring others into the talk, and emergency services
supervise    a supervisor's phone wants to listen to a talk
connection   one connection from Asterisk, for any of these
agi          Asterisk's gateway protocol without I/O (pure)
script       what a caller hears, and in which order (pure)
reception    what holds for a caller who is being answered: queue, language, block (pure)
notice       what is left of a recording notice that is played as music (pure)
hours        whether a hotline is open (pure)
workdays     the working calendar that comes with the program
phrases      every sentence that is said or shown, and the names of its sounds (pure)
phrase_file  the sentences and sounds on disk
"""
