"""`hotline talk`: what a program does to an agent's talk by the API, by hand (`facts.control`, `facts.requests`)."""

from typing import Annotated

import typer

from facts.control import (
    DialForAgent,
    HandOverTalk,
    HangUpTalk,
    HoldTalk,
    MuteTalk,
    ResumeTalk,
    TransferTalk,
)
from facts.requests import EndTalk, LeaveTalk, ListenToTalk
from facts.supervise import SupervisionMode
from hotline.cli.tools import ask_controller, fail, operator

app = typer.Typer(help="An agent's talk with a citizen.", no_args_is_help=True)

Agent = Annotated[str, typer.Argument(help="the agent's number")]
Queue = Annotated[str, typer.Option("--queue", help="a queue")]
Phone = Annotated[str, typer.Option("--phone", help="the number of the supervisor's phone")]

MODES = (SupervisionMode.LISTEN, SupervisionMode.WHISPER, SupervisionMode.STEP_IN)


@app.command("hold")
def hold(agent: Agent) -> None:
    """Have the citizen hear music, and the agent nothing."""
    ask_controller(HoldTalk(agent, operator()))


@app.command("resume")
def resume(agent: Agent) -> None:
    """Have the two talk again."""
    ask_controller(ResumeTalk(agent, operator()))


@app.command("mute")
def mute(agent: Agent) -> None:
    """Have the citizen not hear the agent."""
    ask_controller(MuteTalk(agent, "on", operator()))


@app.command("unmute")
def unmute(agent: Agent) -> None:
    """Have the citizen hear the agent again."""
    ask_controller(MuteTalk(agent, "off", operator()))


@app.command("hang-up")
def hang_up(agent: Agent) -> None:
    """End the talk, as the agent's own hang-up."""
    ask_controller(HangUpTalk(agent, operator()))


@app.command("transfer")
def transfer(
    agent: Agent,
    to: Annotated[str, typer.Argument(help="an agent, one of our numbers, or one outside")] = "",
    queue: Queue = "",
) -> None:
    """Hand the citizen on, blind, by the rules of a phone's transfer: to somebody, or to a queue."""
    if bool(to) == bool(queue):
        fail("say where the citizen goes: a number or --queue", status=2)
    ask_controller(TransferTalk(agent, to, queue, operator()))


@app.command("hand-over")
def hand_over(agent: Agent) -> None:
    """Leave the citizen to the colleague that the agent has asked into the talk."""
    ask_controller(HandOverTalk(agent, operator()))


@app.command("dial")
def dial(
    agent: Agent,
    to: Annotated[str, typer.Argument(help="the number to call")],
    queue: Queue = "",
) -> None:
    """Ring the agent's phone, then dial the number, under the number of the queue."""
    ask_controller(DialForAgent(agent, to, queue, operator()))


@app.command("listen")
def listen(
    agent: Agent,
    phone: Phone,
    mode: Annotated[str, typer.Option("--mode", help=f"one of {', '.join(MODES)}")] = "listen",
) -> None:
    """Ring a supervisor's phone, and have it in the talk when it answers; or change what it does there."""
    if mode not in MODES:
        fail(f"--mode {mode}: there is {', '.join(MODES)}", status=2)
    ask_controller(ListenToTalk(agent, phone, mode, operator(), may_step_in=1))


@app.command("leave")
def leave(agent: Agent, phone: Phone) -> None:
    """Have a supervisor's phone leave the talk."""
    ask_controller(LeaveTalk(agent, phone))


@app.command("end")
def end(
    agent: Agent,
    reason: Annotated[str, typer.Option("--reason", help="why; the diary keeps it")] = "",
) -> None:
    """End the talk, and the citizen's call with it. They are not called back for it."""
    ask_controller(EndTalk(agent, operator(), reason))
