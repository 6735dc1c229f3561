"""The diary (日志账): the table of facts. Everything that happened to a call is one row in it.

writer  takes facts, never waits, never loses one
reader  facts again, a day, a call or a kind at a time
spool   where rows wait while the database is away
tables  the tables
"""
