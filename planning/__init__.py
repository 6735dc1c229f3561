"""The floor of production on a virtual clock: how many agents are needed, and whether the floor agrees with theory.

simulator   plays Asterisk, the citizens and the agents for the floor
simulation  runs it, and compares it with Erlang A
erlang      Erlang A in closed form (pure)
staffing    agents needed for each hour
workers     all processors for many simulations, with the same results
"""
