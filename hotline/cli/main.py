"""The command `hotline`. Each subcommand reads its arguments, calls one function and says what came of it."""

import errno
import getpass
import json
import os
import sys
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from base import clock, files
from facts.requests import (
    AgentWasAdded,
    AgentWasRemoved,
    EndTalk,
    ExplainHangUp,
    HandToSurvey,
    PauseRecording,
    ResumeRecording,
    SetOut,
    SetPaused,
    SetReady,
)
from hotline import __version__
from hotline.cli import alarm as cli_alarm
from hotline.cli import callback as cli_callback
from hotline.cli import deliver as cli_deliver
from hotline.cli import metrics as cli_metrics
from hotline.cli import privacy as cli_privacy
from hotline.cli import quality as cli_quality
from hotline.cli import queue as cli_queue
from hotline.cli import recordings as cli_recordings
from hotline.cli import report as cli_report
from hotline.cli import simulate as cli_simulate
from hotline.cli import staff as cli_staff
from hotline.cli import talk as cli_talk
from hotline.cli import web as cli_web
from hotline.cli import words as cli_words
from hotline.cli.tools import (
    JsonOrText,
    Language,
    ask_controller,
    fail,
    form_of,
    live_state,
    note_look,
    notify_controller,
    print_table,
    read_settings,
    run,
    run_forever,
    with_database,
)
from hotline.machine.home import UMASK

app = typer.Typer(
    help="A call centre on Asterisk for citizen hotlines: inbound first.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
agent_app = typer.Typer(help="The people who answer.", no_args_is_help=True)
report_app = typer.Typer(help="Figures, folded from the diary.", no_args_is_help=True)
app.add_typer(agent_app, name="agent")
app.add_typer(report_app, name="report")
app.add_typer(cli_metrics.app, name="metrics")
cli_deliver.add_to(report_app)
cli_report.add_to(report_app)
app.add_typer(cli_recordings.app, name="recordings")
app.add_typer(cli_privacy.app, name="privacy")
app.add_typer(cli_quality.app, name="quality")
app.add_typer(cli_alarm.app, name="alarm")
app.add_typer(cli_queue.app, name="queue")
app.add_typer(cli_callback.app, name="callback")
app.add_typer(cli_talk.app, name="talk")
app.add_typer(cli_simulate.app)
app.add_typer(cli_staff.app)
app.add_typer(cli_web.app)
app.add_typer(cli_words.app)


def main() -> None:
    """Run the command line; an interrupted command ends quietly. What it writes is its owner's alone."""
    os.umask(UMASK)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EPIPE):
            raise
        # What still waits in memory would fail once more at the very end, with a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            sys.exit(1)  # whoever read it has seen enough
        fail(files.why("the answer", error))


# --- the programs


@app.command()
def up() -> None:
    """Run the whole centre on this machine: Asterisk, Redis, controller, recorder, screens."""
    from hotline.machine import up as starter

    run(starter.up(read_settings()))


@app.command()
def serve() -> None:
    """Run the controller alone: AMI, AGI and call distribution."""
    from hotline.controller import serve as service

    run_forever(service.serve(read_settings(), ready=lambda: print("ready", flush=True)))


@app.command()
def recorder() -> None:
    """Run the recorder alone: finished calls become stereo files in the ledger."""
    from hotline.machine import processes

    run_forever(processes.record(read_settings()))


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="stay up until Ctrl-C")] = False,
    lang: Language = "zh",
) -> None:
    """Run a centre with simulated citizens and agents over real SIP, and print its SLA report."""
    from hotline.demo import play

    sys.exit(run(play.demo(keep=keep, lang=lang)))


@app.command()
def check() -> None:
    """Say what is wrong with the settings and with this machine. Status 1 when something is."""
    from hotline.machine import check as checks

    sys.exit(checks.check())


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


# --- agents


@agent_app.command("add")
def agent_add(
    number: str,
    name: Annotated[str, typer.Option("--name", help="shown to supervisors, never to citizens")],
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin",
            help="read the softphone's password from standard input; without it one is made and shown",
        ),
    ] = False,
) -> None:
    """Add an agent; the softphone can sign in at once."""
    from agents import roster

    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else roster.generate_password()

    async def work(engine: AsyncEngine) -> None:
        await roster.add(engine, number, name, password, clock.now())

    with_database(work, roster.RosterError)
    notify_controller(AgentWasAdded(number))
    print(f"agent {number} added")
    if not password_stdin:
        print(f"password of the softphone: {password}")


@agent_app.command("list")
def agent_list(form: JsonOrText = "text") -> None:
    """List the agents and what they do now."""
    from agents import roster

    rows = with_database(roster.list_all)
    state = live_state()
    live = {one["number"]: one for one in state["agents"]} if state is not None else {}
    table = [
        {
            "number": row.number,
            "name": row.name,
            "presence": live[row.number]["presence"] if row.number in live else None,
            "pause_reason": row.pause_reason,
            "call": live[row.number]["call"] or None if row.number in live else None,
            "intent": row.intent.value,
        }
        for row in rows
    ]
    if form_of(form, "text", "json") == "json":
        print(json.dumps(table, ensure_ascii=False, indent=1))
        return
    if not live:
        print("the controller is not running: what follows is the roster only", file=sys.stderr)
    print_table(table)


@agent_app.command("remove")
def agent_remove(number: str) -> None:
    """Remove an agent; a talk that goes on is not cut."""
    from agents import roster

    async def work(engine: AsyncEngine) -> None:
        await roster.remove(engine, number)

    with_database(work, roster.RosterError)
    notify_controller(AgentWasRemoved(number))
    print(f"agent {number} removed")


@agent_app.command("ready")
def agent_ready(number: str) -> None:
    """The agent wants calls."""
    ask_controller(SetReady(number))


@agent_app.command("pause")
def agent_pause(
    number: str, reason: Annotated[str, typer.Option("--reason", help="such as 用餐")]
) -> None:
    """The agent wants a pause; a talk that goes on is finished first."""
    ask_controller(SetPaused(number, reason))


@agent_app.command("out")
def agent_out(number: str) -> None:
    """The agent signs out."""
    ask_controller(SetOut(number))


@agent_app.command("pause-recording")
def agent_pause_recording(number: str) -> None:
    """Leave silence in the recording of the agent's talk, for what is confidential."""
    ask_controller(PauseRecording(number, getpass.getuser()))


@agent_app.command("survey")
def agent_survey(number: str) -> None:
    """End the agent's talk by handing the citizen to the survey."""
    ask_controller(HandToSurvey(number, getpass.getuser()))


@agent_app.command("explain")
def agent_explain(number: str, reason: str, call: str = "") -> None:
    """Why the agent hung up first: a key or name of docs/survey.md."""
    ask_controller(ExplainHangUp(number, reason, call, getpass.getuser()))


@agent_app.command("resume-recording")
def agent_resume_recording(number: str) -> None:
    """Record the agent's talk again."""
    ask_controller(ResumeRecording(number, getpass.getuser()))


@agent_app.command("end-talk")
def agent_end_talk(
    number: str,
    reason: Annotated[str, typer.Option("--reason", help="why; the diary keeps it")] = "",
) -> None:
    """End the agent's talk, and the citizen's call with it. They are not called back for it."""
    ask_controller(EndTalk(number, f"cli:{getpass.getuser()}", reason))


# --- figures


@app.command("calls")
def calls_(
    hours: Annotated[float, typer.Option("--hours", help="how far back")] = 24.0,
    limit: Annotated[
        int, typer.Option("--limit", help="newest first in text, at most this many")
    ] = 10_000,
    why: Annotated[str, typer.Option("--why", help="the reason, which the audit log keeps")] = "",
    form: JsonOrText = "text",
) -> None:
    """List calls with their times and outcomes."""
    from metrics import calls

    now = clock.now()

    async def work(engine: AsyncEngine) -> list[calls.CallRow]:
        await note_look(engine, "calls", why=why, hours=f"{hours:g}", limit=limit)
        return await calls.list_calls(engine, now - round(hours * 3_600_000_000), now, limit)

    rows = with_database(work)
    if form_of(form, "text", "json") == "json":
        print(json.dumps(rows, ensure_ascii=False, indent=1))
    else:
        print(calls.render_text(rows), end="")
