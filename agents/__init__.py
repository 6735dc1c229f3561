"""The people who answer: who they are, what they want, and what their phones can do.

model     what an agent is, and the facts a phone and a person produce (pure)
presence  one visible state folded from intent, phone and work (pure)
roster    agents in the database: add, list, remove, sign-in credentials

This package imports nothing else of Hotline, so that every other package may speak of agents.
"""
