"""What the pages of signing in and of one's account offer about passkeys."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import request
from msgspec import Struct

from neurocore.accounts import passkeys
from neurocore.accounts.credentials import Site, site_of
from neurocore.errors import NeedsSignIn, RefusedError
from neurocore.persistence.people import Passkey, Person
from webapp.security import identity
from webapp.security.hosts import is_loopback
from webapp.services import Services


class Offer(Struct, frozen=True):
    """Whether passkeys work where this page was opened (`problem` says why not), and the passkeys of its owner.

    `instead` is an address of the same page at which they work. `stale` says why none can be added now.
    """

    problem: str | None = None
    instead: str | None = None
    stale: str | None = None
    mine: tuple[Passkey, ...] = ()
    rp_id: str = ""


def site_here(here: Services) -> Site:
    """Return the site whose passkeys work: that of `web.public_url`, else localhost. Raises RefusedError."""
    if here.config.web.public_url:
        return site_of(here.config.web.public_url)
    site = site_of(request.host_url)
    if site.rp_id != "localhost":
        raise RefusedError("Passkeys need the address that people open; set web.public_url.")
    return site


def offer(here: Services, person: Person | None = None) -> Offer:
    """Return what the page offers, to this person where somebody signed in."""
    mine = () if person is None else tuple(here.all_runs.list_passkeys(person.id))
    try:
        site = site_here(here)
    except RefusedError as error:
        return Offer(problem=str(error), instead=_instead(here), mine=mine)
    try:
        if person is not None:
            passkeys.check_fresh(identity.current_session(), mode=here.config.auth.mode, store=here.all_runs)
    except NeedsSignIn as error:
        return Offer(stale=str(error), mine=mine, rp_id=site.rp_id)
    return Offer(mine=mine, rp_id=site.rp_id)


def offer_to_strangers(here: Services) -> Offer | None:
    """Return what the page to sign in offers, the same to everybody; None where nobody signs in by a passkey."""
    return offer(here) if here.config.auth.mode == "local" else None


def _instead(here: Services) -> str | None:
    """Return the address of this page at localhost, if it was opened at a number of this machine."""
    parts = urlsplit(request.host_url)
    if here.config.web.public_url or not is_loopback(parts.hostname or ""):
        return None
    port = f":{parts.port}" if parts.port else ""
    path = request.full_path if request.query_string else request.path
    return f"{parts.scheme}://localhost{port}{request.script_root}{path}"
