"""What the tours share: checks that print a line each, in the test anything protocol.

Here and in the tours, where to connect comes from the environment, as for psql: PGHOST, PGPORT,
PGDATABASE, PGUSER.
"""

from contextlib import contextmanager
from types import SimpleNamespace

_checks = 0


def _print(passed, what):
    global _checks
    _checks += 1
    print("ok" if passed else "not ok", _checks, "-", what, flush=True)
    return passed


def check(what, got, wanted):
    if not _print(got == wanted, what):
        print(f"#   got:    {got!r}\n#   wanted: {wanted!r}", flush=True)


def check_in(what, part, text):
    if not _print(part in (text or ""), what):
        print(f"#   got:         {text!r}\n#   wanted in it: {part!r}", flush=True)


@contextmanager
def expect(error_class, what):
    """The block raises that error, which is then the attribute "error" of what "as" names."""
    caught = SimpleNamespace(error=None)
    try:
        yield caught
    except error_class as error:
        caught.error = error
    if not _print(caught.error is not None, what):
        print("#   there was no error", flush=True)


def done():
    """Without this line the tour broke off."""
    print(f"1..{_checks}", flush=True)
