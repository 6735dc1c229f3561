"""Actions of AMI that several verbs send, each about one channel. Pure."""

from facts.causes import Cause


def hang_up(channel: str, cause: int = Cause.NORMAL) -> dict[str, str]:
    """End a channel. `cause`: what its far end is told (Q.850)."""
    return {"Action": "Hangup", "Channel": channel, "Cause": str(int(cause))}


def set_variable(channel: str, variable: str, value: str) -> dict[str, str]:
    """Set a variable, or a function of the dialplan that can be set."""
    return {"Action": "Setvar", "Channel": channel, "Variable": variable, "Value": value}


def get_variable(channel: str, variable: str) -> dict[str, str]:
    """Ask for a variable, or a function of the dialplan: `Value` of the answer."""
    return {"Action": "Getvar", "Channel": channel, "Variable": variable}


def press(channel: str, key: str) -> dict[str, str]:
    """Have Asterisk take a key as if the phone had sent it."""
    return {"Action": "PlayDTMF", "Channel": channel, "Digit": key, "Receive": "true"}


def redirect(channel: str, context: str, exten: str = "s", priority: str = "1") -> dict[str, str]:
    """Have the channel go on at this place of the dialplan."""
    where = {"Context": context, "Exten": exten, "Priority": priority}
    return {"Action": "Redirect", "Channel": channel, **where}


def mute(channel: str, *, muted: bool) -> dict[str, str]:
    """Have nobody hear what comes from this channel any more, or again."""
    state = "on" if muted else "off"
    return {"Action": "MuteAudio", "Channel": channel, "Direction": "in", "State": state}
