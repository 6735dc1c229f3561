"""The program's tools, which know nothing of calls.

settings    what an operator can set, from the environment and `hotline.toml`
trunks      the operator's trunks, from `trunks.toml` in the home
privileges  the user that each command becomes
clock       the one place that asks the machine for the time
background  tasks that cannot vanish
workers     processes that end with the one that started them
stalls      how long the event loop stands still
bounded     memories that forget the oldest
retry       how long to wait before the next attempt
outage      something that is away: one line when it begins, one when it is over
log         one JSON line an event, numbers masked
database    how the database is opened; the metadata of all tables
migrations  the database's versions
lease       one controller a database
tables      the table of that
bus         Redis: live state and facts to the screens, commands from them
files       files written for somebody: whole, or not at all
notify      messages to any address of apprise
"""
