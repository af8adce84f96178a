# SPDX-License-Identifier: Apache-2.0
"""The commands of `throughcare` as a table: name, module, one line of help.

Only click is imported here. A command's module is imported when the command is typed, because the
libraries behind it (cryptography, aiohttp, SQLAlchemy) take a second to load and `--help` needs none.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import click


@dataclass(frozen=True, slots=True)
class Entry:
    """Where in this package a command is defined (`module:attribute`) and the line `--help` shows for it."""

    target: str
    line: str
    hidden: bool = field(default=False, kw_only=True)
    """Whether only those know of it who know it already: the older name of a command, which goes on working."""

    def load(self) -> click.Command:
        """Import the module and return the command."""
        module, _, attribute = self.target.partition(":")
        command = getattr(importlib.import_module(f"connectors.cli.{module}"), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.target} is no command")
        command.hidden = self.hidden
        return command


class LazyGroup(click.Group):
    """A group of commands that are imported when they are typed."""

    def __init__(self, name: str | None, table: Mapping[str, Entry], line: str) -> None:
        super().__init__(name, help=line, no_args_is_help=True)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table, which is the order of use."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, imported now."""
        entry = self.table.get(cmd_name)
        return entry.load() if entry else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is typed, or name those of the table that are spelled alike."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=self.table, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.line) for name, entry in self.table.items() if not entry.hidden])


def _show_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        click.echo(f"throughcare {version('throughcare')}")
        ctx.exit()


AUTHORITY = {
    "init": Entry("authority:init", "Make the keys and first statements of a programme."),
    "publish": Entry("authority:publish", "Bring root and authority into the hub's directory."),
    "invite": Entry("authority:invite", "Write an enrolment code for one agency."),
    "pending": Entry("authority:pending", "Show who asks for a certificate, and the words to compare."),
    "approve": Entry("authority_approve:approve", "Sign an agency after comparing the words by voice."),
    "list": Entry("authority_list:list_", "List the agencies and their devices, and until when each counts."),
    "renew": Entry("authority_renew:renew", "Sign an agency, the authority or the root anew, for the same keys."),
    "new-key": Entry(
        "authority_new_key:new_key",
        "Make your own key, to take another's place as an approver or a person of the root.",
    ),
    "exchange": Entry(
        "authority_exchange:exchange", "Put a newcomer in the place of an approver or person of the root who leaves."
    ),
    "revoke": Entry("authority_revoke:revoke", "End an agency, or one device of it, for good."),
    "restore": Entry("authority_restore:restore", "Sign what a hub kept when it was restored from a backup."),
    "change-passphrase": Entry(
        "change_passphrase:of_person", "Put an approver's or root person's key under a new passphrase."
    ),
    "check": Entry("evidence_check:for_authority", "Check a file of evidence that an agency brings."),
    "show": Entry("authority:show", "Show the programme, its hub and its root fingerprint."),
}
CONNECTOR = {
    "run": Entry("connector:run", "Run this agency's connector until it is stopped."),
    "status": Entry("connector:status", "Show what a running connector is doing."),
}
HANDOVER = {
    "send": Entry("handover_send:send", "Map an export and send it, sealed, to one or more desks."),
    "list": Entry("standing:handovers", "List handovers sent and received, or with --list as they stand."),
    "standing": Entry(
        "standing:handovers_standing",
        "List handovers as they stand: all, new, mine, unassigned, sent, answer due, alerts, closed.",
        hidden=True,  # the name of `handover list --list` before
    ),
    "show": Entry("handover:show", "Show one handover: own sections, receipts, what was withheld."),
    "print": Entry("printing:handover", "Print the package of a handover, as an HTML page."),
    "save": Entry("attachments:save", "Save the attachments that came with a handover into a folder."),
    "acknowledge": Entry("steps:handover_acknowledge", "A named officer has taken it up."),
    "accept": Entry("steps:handover_accept", "The lead moves at the agreed instant."),
    "accept-part": Entry("steps:handover_accept_part", "The lead moves; named conditions stay open between the two."),
    "decline": Entry("steps:handover_decline", "The lead stays where it is."),
    "bind": Entry("steps:handover_bind", "A statute puts the receiver in charge, who may review and not decline."),
    "review": Entry("steps:handover_review", "The receiver's remarks on what it has; the words are in a section."),
    "run-together": Entry(
        "steps:handover_run_together", "Both work with the person from now on; the sender still leads."
    ),
    "change-date": Entry(
        "steps:handover_change_date", "The release moved, and the instant with it; nobody has to accept again."
    ),
    "take-effect": Entry("steps:handover_take_effect", "The lead moves now: from here on the receiver leads."),
    "fail": Entry("steps:handover_fail", "The instant came and the release did not, or was taken back."),
    "complete": Entry(
        "steps:handover_complete", "Papers and open items have arrived; the sender keeps what its retention rule says."
    ),
    "withdraw": Entry("steps:handover_withdraw", "There will be no handover; the lead stays where it is."),
    "offer-again": Entry("steps:handover_offer_again", "The same package for another day."),
    "entered-in-error": Entry("steps:handover_entered_in_error", "It should never have been sent."),
}
REFERRAL = {
    "send": Entry("threads:send", "Refer a person to another agency's desk."),
    "list": Entry(
        "standing:referrals",
        "List referrals as they stand: all, new, mine, unassigned, sent, answer due, alerts, closed.",
    ),
    "show": Entry(
        "threads:show", "Show one referral or handover: its steps, who acknowledged what, what could be done next."
    ),
    "print": Entry("printing:thread", "Print a whole referral or handover, or one step of it, as an HTML page."),
    "acknowledge": Entry(
        "steps:referral_acknowledge", "A named officer has taken it up, and says when an answer can be expected."
    ),
    "ask": Entry("steps:referral_ask", "A question; the answer's clock stands still until it is answered."),
    "answer": Entry("steps:referral_answer", "The answer is in a section."),
    "cannot-answer": Entry("steps:referral_cannot_answer", "The question stays open, for a reason."),
    "accept": Entry("steps:referral_accept", "All services are taken."),
    "accept-part": Entry(
        "steps:referral_accept_part", "Some services are taken; the rest becomes a draft of the requester's again."
    ),
    "decline": Entry("steps:referral_decline", "None of the services is taken; the reason says why."),
    "decline-late": Entry(
        "steps:referral_decline_late", "Gives back what was accepted; the text says what was done so far."
    ),
    "schedule": Entry(
        "steps:referral_schedule",
        "An appointment, the first or a further one; a later one takes the place of an open one.",
    ),
    "attended": Entry("steps:referral_attended", "The person came."),
    "no-show": Entry(
        "steps:referral_no_show", "The person did not come; the first appointment and a second miss raise an alert."
    ),
    "appointment-cancelled": Entry(
        "steps:referral_appointment_cancelled", "It does not take place; a new one is to be made."
    ),
    "progress": Entry("steps:referral_progress", "An interim note; the words are in a section."),
    "hold": Entry("steps:referral_hold", "The referral rests until a day on which somebody looks again."),
    "resume": Entry("steps:referral_resume", "It goes on where it rested."),
    "withdraw": Entry(
        "steps:referral_withdraw", "Before anybody took it up it is cancelled; afterwards the recipient confirms."
    ),
    "confirm-cancel": Entry("steps:referral_confirm_cancel", "What was delivered, and what became of the data."),
    "complete": Entry("steps:referral_complete", "The outcome of each service, and what became of the data."),
    "end-early": Entry("steps:referral_end_early", "The same before its time, with the reason."),
    "finish": Entry("steps:referral_finish", "The service is over, the report follows."),
    "close": Entry("steps:referral_close", "The requester has read the outcome and says what changed for the person."),
    "block": Entry("steps:referral_block", "No basis stands any more."),
    "unblock": Entry("steps:referral_unblock", "Another basis stands, and the data-protection officer agreed."),
    "entered-in-error": Entry("steps:referral_entered_in_error", "It should never have been sent."),
    "reassign": Entry("steps:referral_reassign", "Another officer of the recipient's; responsibility does not move."),
    "propose-forward": Entry(
        "steps:referral_propose_forward", "Another agency would be the right one; the requester decides."
    ),
    "approve-forward": Entry(
        "onward:approve_forward",
        "Approve the agency that the recipient proposed, and refer there: both or neither.",
    ),
    "sub-refer": Entry(
        "onward:sub_refer",
        "Refer on some of the services that were accepted here; the first requester stays responsible.",
    ),
    "custody-moved": Entry(
        "steps:referral_custody_moved",
        "The person changed prison; here is the new lead, and the question what still works.",
    ),
    "reopen": Entry("steps:referral_reopen", "Within thirty days; later a new referral names this one."),
    "appeal": Entry("steps:referral_appeal", "A second reader at the recipient is asked to look again."),
}
DRAFT = {
    "make": Entry("drafts:make", "Keep the draft of a referral; anything may be missing."),
    "list": Entry("drafts:list_", "List the drafts of referrals, the one that changed last first."),
    "show": Entry("drafts:show", "Show one draft whole, and what it still lacks."),
    "change": Entry("drafts:change", "Change a draft: what the file names takes the place of what stands there."),
    "send": Entry("drafts:send", "Send a draft as a referral; it is a draft no longer."),
    "delete": Entry("drafts:delete", "Delete a draft for good."),
}
MESSAGE = {
    "send": Entry("messages:send", "Send a message of a kind, such as contact.area-notice."),
    "list": Entry("messages:list_", "List messages sent and received, newest first."),
    "show": Entry("messages:show", "Show one message: what it says in codes, which sections came, and who answered."),
    "print": Entry("printing:message", "Print a message that is no step of a life cycle, as an HTML page."),
    "answer": Entry("messages:answer", "Answer a message that came: noted, agreed, in-part or not-possible."),
}
CASE = {
    "list": Entry("cases:list_", "List cases: all, open, with something due, closed."),
    "search": Entry(
        "cases:search", "Find cases by names, numbers or a date of birth; TEXT of - reads it from standard input."
    ),
    "show": Entry("cases:show", "Show one case: who is involved, what is due, what happened, what is missing."),
    "print": Entry("printing:case", "Print a whole case, each thread and each message of it, as an HTML page."),
}
FHIR = {
    "import": Entry("fhir:import_", "Make the draft of a referral from a FHIR bundle of ServiceRequest and Task."),
    "export": Entry("fhir:export", "Show how a referral stands, as a FHIR bundle."),
}
DIRECTORY = {
    "list": Entry("directory:list_", "List the desks that can be written to."),
    "evidence": Entry("fork:evidence", "Write all by which the hub contradicted itself to a file."),
    "check": Entry("evidence_check:check", "Check such a file, without the hub."),
    "dismiss": Entry("fork:dismiss", "Seal again after a contradiction that your authority has looked at."),
}
KEY = {
    "renew": Entry("key:renew", "Renew this device's certificate for another 90 days."),
    "change-passphrase": Entry(
        "change_passphrase:of_connector", "Put a connector's keystore, or a backup.key, under a new passphrase."
    ),
    "backup-words": Entry("backup_key:words", "Show the 8 words of a backup.pub, to be compared."),
    "accept-backup-key": Entry(
        "backup_key:accept", "Have a connector's backups sealed to this key, and to no other, from now on."
    ),
}
OFFICER = {
    "list": Entry("officer:list_", "List who may act for this agency, and until when."),
    "add": Entry("officer:add", "Let somebody act for this agency, under a title."),
    "renew": Entry("officer:renew", "Let an officer act for another year."),
    "end": Entry("officer:end", "End an officer's authority to act."),
}
LIFECYCLE = {
    "show": Entry("lifecycle:show", "Show every row of a life cycle, or its diagram."),
    "walk": Entry("lifecycle:walk_", "Find dead ends in anybody's table of transitions (CSV)."),
}
EVENT = {"list": Entry("events:list_", "List what happened, oldest first.")}
TOKEN = {
    "make": Entry("tokens:make", "Make a token for one program, good for the named scopes only."),
    "list": Entry("tokens:list_", "List the tokens that were made: for whom, good for what, until when."),
    "revoke": Entry("tokens:revoke", "Revoke a token at once and for good."),
}
WEBHOOK = {
    "list": Entry("webhooks:list_", "List events that webhooks have not confirmed, and which webhooks are disabled."),
    "replay": Entry("webhooks:replay", "Tell every webhook of one event again."),
}
QUARANTINE = {
    "list": Entry("quarantine:list_", "List what arrived and was refused, with the reason."),
    "save": Entry("quarantine:save", "Save the bytes of something that was refused, as evidence."),
}
CONFIG = {
    "check": Entry("config:check", "Validate a connector's configuration file offline."),
    "show": Entry("config:show", "Show the configuration in force and where each value is from."),
    "explain": Entry("config:explain", "Explain one key, for example connector.hub_url."),
    "example": Entry("config:example", "Print an example configuration with every key."),
}


@dataclass(frozen=True, slots=True)
class Noun(Entry):
    """A noun whose verbs are in a table of their own."""

    verbs: Mapping[str, Entry]

    def load(self) -> click.Command:
        """Return the group of the noun's verbs; nothing is imported for it."""
        return LazyGroup(self.target, self.verbs, self.line)


COMMANDS: dict[str, Entry] = {
    "case": Noun("case", "See persons' cases: who is involved, what is due.", CASE),
    "handover": Noun("handover", "Send, list and show handovers.", HANDOVER),
    "referral": Noun("referral", "Refer a person to a service, and answer referrals.", REFERRAL),
    "draft": Noun("draft", "Keep referrals that are not sent yet.", DRAFT),
    "fhir": Noun("fhir", "Take referrals from systems that speak FHIR, and tell them how ours stand.", FHIR),
    "message": Noun("message", "Send and answer messages that are no step of a life cycle.", MESSAGE),
    "event": Noun("event", "See what happened here, as other programs do.", EVENT),
    "webhook": Noun("webhook", "See what other programs were not told, and tell them again.", WEBHOOK),
    "token": Noun("token", "Let other programs of the agency in, each for what it does.", TOKEN),
    "directory": Noun("directory", "See who can be written to.", DIRECTORY),
    "quarantine": Noun("quarantine", "See what was refused.", QUARANTINE),
    "connector": Noun("connector", "Run an agency's connector.", CONNECTOR),
    "key": Noun("key", "Renew the certificate of this agency's device, or change a passphrase.", KEY),
    "officer": Noun("officer", "Say who may act for this agency.", OFFICER),
    "enrol": Entry("enrol:enrol", "Enrol this agency with the code its authority gave it."),
    "authority": Noun("authority", "Vouch for agencies (the jurisdiction's authority).", AUTHORITY),
    "lifecycle": Noun("lifecycle", "See how referrals and handovers move.", LIFECYCLE),
    "config": Noun("config", "Check and explain a connector's configuration.", CONFIG),
    "doctor": Entry("doctor:doctor", "Look for what is wrong with a connector, and say how to mend it."),
    "backup-key": Entry("backup:backup_key", "Make the key that opens backups, to be kept offline."),
    "backup": Entry("backup:backup", "Write a sealed backup of a connector, also while it runs."),
    "restore": Entry("backup:restore", "Give an agency whose machine is lost a new device from a backup."),
    "witness": Entry("witness:witness", "Write what this connector holds of the hub's logs, for its operator."),
    "sandbox": Entry("sandbox:sandbox", "Run a hub and three invented agencies until stopped."),
    "demo": Entry("demo:demo", "Tell the story of one release, everything real but the clock."),
    "completion": Entry("completion:completion", "Print the completion script for your shell."),
}

ROOT = LazyGroup(
    "throughcare",
    COMMANDS,
    "End-to-end encrypted handovers between prison, probation and the services of the community.",
)
ROOT.context_settings = {"help_option_names": ["-h", "--help"]}
ROOT.params.append(
    click.Option(
        ["--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_show_version,
        help="Show the version and stop.",
    )
)
