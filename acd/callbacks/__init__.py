"""Callback tasks (回访, 漏接回拨).

task    a task as the floor holds it, and which comes next (pure)
entry   a task as the book keeps it: what may be entered, what facts make of it (pure)
book    the tasks in the database
tables  their table
"""
