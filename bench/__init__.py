"""The same work beside app_queue, on the same Asterisk, in one run: `make bench`.

measure   runs the four measurements and lays out the table; start here
side      one centre, and its two sides: app_queue without the controller, Hotline with it
phone     simulated agents and callers: SIP over one socket, each INVITE and BYE with its moment
figures   percentiles, processor time, SIPp's counts, the table (pure)
*.xml     what SIPp does as a caller
"""
