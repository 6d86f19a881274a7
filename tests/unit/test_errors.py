"""An error is one sentence, with what to do about it where that is known."""

import pickle

import pytest

from netlab.errors import BadInput, LabUnavailable, NetlabError, Unmet, shown, unknown


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NetlabError("It is broken."), "It is broken."),
        (NetlabError("No lab is running", "start one"), "No lab is running; start one."),
        (NetlabError("It needs ipip:", "load the module"), "It needs ipip: load the module."),
        (unknown("lab", "on", ["one"]), "There is no lab 'on'; did you mean one?"),
        (unknown("lab", "xyz", ["b", "a"]), "There is no lab 'xyz'; known are: a, b."),
        (unknown("lab", "xyz", []), "There is no lab 'xyz'; known are: none."),
    ],
)
def test_an_error_is_one_sentence(error: NetlabError, sentence: str) -> None:
    assert str(error) == sentence


def test_the_remedy_is_a_field() -> None:
    error = unknown("lab", "on", ["one"])
    assert (error.what, error.remedy) == ("There is no lab 'on'", "did you mean one?")


@pytest.mark.parametrize("kind", [NetlabError, BadInput, Unmet, LabUnavailable])
def test_an_error_survives_the_way_out_of_a_sandbox(kind: type[NetlabError]) -> None:
    error = kind("It is broken", "mend it", ("some", "object"))
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert (str(back), back.remedy, back.about) == (str(error), "mend it", ("some", "object"))
    assert back.exit_code == kind.exit_code


HOSTILE = "a\n\x1b[31mb\u202ec\r\0"


@pytest.mark.parametrize(
    "value",
    [HOSTILE, "x" * 100_000, HOSTILE * 9999, 10**5000, [[]] * 9999],
    ids=["control", "long", "both", "number", "list"],
)
def test_a_value_is_shown_safely_and_shortened(value: object) -> None:
    for text in (shown(value), str(BadInput(f"{shown(value)} is wrong", f"not {shown(value)}"))):
        assert text.isprintable()
        assert len(text) < 200


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError


def test_a_value_whose_own_words_fail_is_shown_by_its_type() -> None:
    assert shown(Odd()) == "<Odd>"


@pytest.mark.parametrize(
    "raw",
    [HOSTILE, HOSTILE * 9999, "y" * 100_000, "z " * 100_000],
    ids=["control", "both", "long", "words"],
)
def test_whatever_an_error_quotes_it_is_one_line_of_sensible_length(raw: str) -> None:
    error = NetlabError(f"The file {raw} is wrong", f"remove {raw}")
    assert str(error).isprintable()
    assert len(str(error)) < 1300
    assert str(error).startswith("The file ")
    assert "; remove " in str(error)


def test_a_common_sentence_is_left_alone() -> None:
    words = "The file /tmp/größe/→.py is wrong: 'it's' \"odd\"."
    assert str(NetlabError(words)) == words
