"""The people who answer: who they are, what they want, and what their phones can do.

model     what an agent is (pure)
presence  one visible state folded from intent, phone and work (pure)
pause     pause reasons (pure)
signin    how a softphone proves who it is (pure)
messages  what supervisors write to agents
roster    agents in the database: add, list, remove
tables    the table of agents
"""
