"""When somebody has to act: rules over figures and over parts of the centre, and the watch that tells people.

rules   when an alarm is raised and cleared (pure)
watch   looks several times a second, keeps the table `alarm`, tells every address once
tables  the table of alarms
"""
