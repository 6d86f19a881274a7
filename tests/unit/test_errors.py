"""An error is one sentence, with what to do about it where that is known."""

import pickle

import pytest

from netlab.errors import BadInput, LabUnavailable, NetlabError, Unmet, unknown


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
