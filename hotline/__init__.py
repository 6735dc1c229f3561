"""The roof: the command `hotline`, and what puts the other rooms together.

cli         the command line
controller  floor, Asterisk, database and screens put together: `hotline serve`
machine     what runs on this machine: `hotline up`, `hotline check`
demo        a whole centre with simulated people: `hotline demo`
examples    for cron and systemd
"""

__version__ = "0.1.0"
