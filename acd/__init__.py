"""Automatic call distribution: who gets which caller.

rules      queues, numbers, members, skills: what the floor goes by
callbacks  callback tasks
commands   what the floor wants done, in the imperative (pure)
gate       which numbers the hotline may dial, and how often (pure)
strategy   which idle agent comes first (pure)
floor      facts in, commands out: every decision is made here (pure)
desk       the shell round the floor: one task, timers, carrying out commands
"""
