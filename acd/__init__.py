"""Automatic call distribution: who gets which caller.

model     the words: call, offer, reasons, outcomes (pure)
events    facts, in the past tense: what happened (pure)
commands  what the floor wants done, in the imperative (pure)
strategy  which idle agent comes first (pure)
floor     facts in, commands out: every decision is made here (pure)
desk      the shell round the floor: one task, timers, carrying out commands
diary     facts to and from the database
"""
