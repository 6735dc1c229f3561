"""Accounts, what they may do, and what they did.

accounts  accounts, sessions and tokens in the database
rights    roles, rights, and which role sees what masked (pure)
audit     who did what, and for how long that is kept
tables    their tables
"""
