"""The controller: puts floor, Asterisk, database and screens together.

serve           wires the parts; read it first
recovery        coming back: diary, CEL and AMI after a start and after a lost link
in_force        the rules, the block list and the calendar that hold now
watch           the phones of agents who talk: which of them has died
tape            whether calls can be recorded now
renewals        recordings that are renewed after a change in a talk
people          the agents, and what they ask for
requests        what screens, API and command line ask for
parties         requests about third parties in a talk
surveys         citizens rate their talks
hang_ups        why agents hung up first
waiting         who waits, and what a supervisor decides for one of them
red_button      alerts, and the timer until a supervisor has seen them
messages        what a supervisor writes to agents
calls_today     how often a number has called today
callbacks       requests about callback tasks
supervising     supervisors in talks: who may, what they ask for, and the audit log of every minute
control         requests about an agent's talk: hold, mute, transfer, end
dials           click to call: a number is dialled for an agent
marks           harassing and silent callers, and the block that is proposed
open_callbacks  the book's open tasks, at a start and as other programs change them
outlets         where recorded facts go
feeding         what the live figures and the floor get from the database
shown           the live state
rows            the agents as the live state has them
garbage         Python's search for circles of objects, in portions and at night
readings        what the alarms are measured by
"""
