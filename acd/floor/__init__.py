"""The floor: every decision about who gets which caller. Facts in, commands out.

Pure: no clock, no I/O, no waiting. One task owns a floor, so it needs no locks. The same floor runs in the
controller, in the property tests and in the simulator, on a virtual clock.

A fact goes to its handler (in `calls`, `offers`, `agents`, `callbacks`, `parties`, `centre`), which changes the hall.
Callers and idle agents meet in lanes. After that `pairing` pairs both sides of every changed lane from the front. Then
it lets callbacks yield to citizens who still wait (呼入优先, R7). The agents who are then left get callbacks.

The modules from the ground up; each imports only those before it in this list (tests/test_architecture.py):

hall        who is here, and what is remembered; no decision
lanes       who waits and who is idle in which lane
waiting     a caller's wait: longest wait, overflow, release
assigned    what a supervisor decides for a waiting caller
open_tasks  a callback between its attempts: due, urgent, missed, closed
work        the end of an agent's work on a call: wrap-up, idle again
settle      what a citizen who has been reached makes needless; how a task is cancelled
calls       what a fact about a call does
offers      what a fact about an offer or a talk does
agents      what a fact about an agent does
callbacks   what a fact about a callback does
parties     what a fact about a third party in a talk does
centre      whether offers may be made at all
handing_on  whether an agent's citizen may be handed on
pairing     offers, callbacks that yield, callbacks that are placed
snapshot    the hall written down, and made again
floor       the tables of facts and deadlines; what the desk and the screens call
"""

from acd.floor.floor import Floor
from acd.floor.hall import Caller, Seat, Stage

__all__ = ["Caller", "Floor", "Seat", "Stage"]
