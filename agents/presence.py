"""Folds intent, phone and work into one visible state. Pure: no clock, no I/O."""

from agents.model import Intent, Presence


def presence(
    intent: Intent,
    *,
    reachable: bool,
    ringing: bool,
    talking: bool,
    own_call: bool,
    wrapping_up: bool,
    not_responding: bool,
) -> Presence:
    """Say which state outweighs the others.

    What the agent does comes before what the agent wants: an agent who asks for a pause while talking is still talking,
    and pauses afterwards. A lost phone outweighs every request, because nothing can be offered to it.
    """
    if talking:
        return Presence.TALKING
    if ringing:
        return Presence.RINGING
    if intent is Intent.OUT:
        return Presence.OUT
    if not reachable:
        return Presence.UNREACHABLE
    if own_call:
        return Presence.ON_OWN_CALL
    if intent is Intent.PAUSED:
        return Presence.PAUSED
    if not_responding:
        return Presence.NOT_RESPONDING
    if wrapping_up:
        return Presence.WRAP_UP
    return Presence.READY
