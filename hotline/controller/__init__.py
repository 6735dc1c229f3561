"""The controller: puts floor, Asterisk, database and screens together.

serve  the processes' entry points and the controller itself; read it first
rows   the agents as screens show them
"""
