"""What runs on this machine: Asterisk, Redis, our own processes, and what is written for them.

up           `hotline up`: starts and keeps all processes
programs     one process: start, stop, is it there
processes    the recorder, transcripts, and the screens with the API
render       Asterisk's configuration from the settings
trunk_lines  what it says of trunks
logs         the log files stay small
home         nobody but its owner reads the home
check        `hotline check`
tables       every table of the program
draft        drafts the next version of the database
"""
