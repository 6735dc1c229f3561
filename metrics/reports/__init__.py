"""`hotline report`: one window of the diary, with a verdict, in many forms, delivered to each target.

sla       the report: figures, verdict, text, JSON, CSV
page      HTML and PDF
sheets    XLSX
formats   all forms by name
period    days, weeks and months by name (pure)
delivery  each period once to each address
tables    what went where
"""
