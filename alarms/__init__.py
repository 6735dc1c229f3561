"""When a person must act: rules about figures and parts of the centre, and the watch that tells people.

rules   when an alarm is raised and cleared (pure)
urgent  urgent matters, written with the facts of the red button
watch   looks every second, keeps the table `alarm`, sends each alarm once to every address
tables  the table of alarms
"""
