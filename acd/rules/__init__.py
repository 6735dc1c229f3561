"""The rules of distribution: queues, numbers, members, skills, hours.

model   what the floor takes (pure)
text    what an operator writes: TOML and words (pure)
edit    single changes (pure)
book    the rules in the database
tables  their tables
"""
