"""What a caller hears and presses.

- ``script``, ``hours``: pure. Which step comes next in a call; whether a hotline is open.
- ``agi``: Asterisk's gateway protocol without I/O: bytes in, commands out.
- ``server``: the shell. One session a call; it walks ``script`` over ``agi``.
- ``phrases``: every sentence that is said or shown, and the sound files that say it.
"""
