"""Waits until a condition of an object holds. It follows the object's changes, and ends at a deadline."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import click

from nightlatch.api.duration import parse_duration
from nightlatch.api.meta import Kind, NamespacedName, ObjectRef, RawObject
from nightlatch.embedded.errors import UserError
from nightlatch.informer import Backoff, Bookmark, ExpiredError
from nightlatch.store.protocol import Store, UnavailableError


@dataclass(frozen=True, slots=True)
class Done:
    """What was waited for is so. `text` says it."""

    text: str


@dataclass(frozen=True, slots=True)
class Pending:
    """It is not so yet. `text` says what it depends on."""

    text: str


@dataclass(frozen=True, slots=True)
class Impossible:
    """It will not come by waiting. `text` says why, `hint` what to do."""

    text: str
    hint: str = ""


Judge = Callable[[RawObject], Done | Pending | Impossible]


class DurationType(click.ParamType[float]):
    """A duration as in our API, such as 90s. In seconds."""

    name = "duration"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


async def until(store: Store, kind: Kind, obj: RawObject, judge: Judge, timeout_s: float) -> str:
    """Wait until the judge says Done, and return its text. Raises UserError if that is not so in time.

    obj: the object that is meant; another one of the same name is not. What it waits for is written to standard error.
    """
    ref = ObjectRef(kind.kind, NamespacedName.of(obj))
    said = ""
    try:
        async with asyncio.timeout(timeout_s), contextlib.aclosing(_states(store, kind, ref.key)) as states:
            async for state in states:
                if state is None or state["metadata"]["uid"] != obj["metadata"]["uid"]:
                    raise UserError(f"{ref} was deleted meanwhile")
                match judge(state):
                    case Done(text):
                        return text
                    case Impossible(text, hint):
                        raise UserError(text, hint)
                    case Pending(text) if text != said:
                        said = text
                        click.echo(f"waiting: {text}", err=True)
    except TimeoutError:
        raise UserError(
            f"gave up after {timeout_s:g} s of waiting {said}".rstrip(),
            "what was asked for goes on; `nightlatch inspect` shows how far it is",
        ) from None
    raise AssertionError("an object's states have no end")


async def _states(store: Store, kind: Kind, key: NamespacedName) -> AsyncGenerator[RawObject | None, None]:
    """The object as it is and after each change; None when it is gone."""
    backoff = Backoff()
    while True:
        with contextlib.suppress(ExpiredError, UnavailableError):
            listing = await store.list(kind, namespace=key.namespace)
            yield next((each for each in listing.items if NamespacedName.of(each) == key), None)
            changes = store.watch(kind, since=listing.resource_version, namespace=key.namespace)
            async for event in changes:
                if not isinstance(event, Bookmark) and event.ref.key == key:
                    yield None if event.type == "Deleted" else event.object
        # A watch that ends at once, or a store that does not answer, is asked again less and less often.
        await asyncio.sleep(backoff.next())
