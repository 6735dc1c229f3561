"""The command line `hotline`: one module a command, `main` puts them together, `tools` is what they share.

main        every command, and those without a module of their own
tools       output as text or JSON, errors as sentences, settings, database
reading     a command's database: the centre's own, or a copy that may only be read
alarm       `hotline alarm`
audit       `hotline recordings audit`
backlog     `hotline recordings backlog`
callback    `hotline callback`
deliver     `hotline report deliver`, `deliveries`
exports     `hotline recordings request`, `requests`, `approve`, `refuse`
listening   `hotline recordings find`, `play`, `export`
hints       `hotline recordings hints`
metrics     `hotline metrics`
privacy     `hotline privacy`
quality     `hotline quality`
queue       `hotline queue`
recordings  `hotline recordings`
report      `hotline report`
retention   `hotline recordings retention`, `hold`, `release`, `holds`
simulate    `hotline simulate`
staff       `hotline staff`
talk        `hotline talk`
web         `hotline account`, `hotline token`
words       `hotline transcribe`, `hotline recordings words`, `phrases`
"""
