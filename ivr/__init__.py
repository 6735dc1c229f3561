"""What a caller hears and presses.

- ``script``, ``hours``, ``reception``: pure. Which step comes next in a call; whether a hotline is open; what holds for
  a caller from the moment the call is answered.
- ``agi``: Asterisk's gateway protocol without I/O: bytes in, commands out.
- ``silence``: what becomes of a caller who says nothing.
- ``server``: the shell. Each ``connection`` carries a citizen's ``session``, which walks ``script``, or an agent's
  ``feature`` code.
- ``phrases``: every sentence that is said or shown, and the sound files that say it.
"""
