"""No k-1 people ever satisfy a quorum of k, whatever roles they hold; and who can, does, in whatever order they said yes."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from jurat.domain.quorum import seats_filled

ROLES = ["ml_lead", "product_owner", "risk", "legal"]
needed = st.lists(st.sampled_from(ROLES), min_size=1, max_size=5)
held = st.dictionaries(st.sampled_from([f"prn_{n}" for n in range(6)]), st.lists(st.sampled_from(ROLES), max_size=4), max_size=6)


def by_trying_everything(roles: list[str], people: dict[str, list[str]]) -> int:
    """The most seats that can be filled, by trying every order of people (None: an empty seat)."""
    candidates = [*people, *[None] * len(roles)]
    return max(
        sum(person is not None and role in people[person] for role, person in zip(roles, order, strict=False))
        for order in set(permutations(candidates, len(roles)))
    )


@given(needed, held)
def test_fewer_people_than_seats_never_fill_them(roles: list[str], people: dict[str, list[str]]) -> None:
    seats = seats_filled(roles, people)
    assert len(seats) <= len(people)
    assert len(set(seats.values())) == len(seats)
    assert all(roles[seat] in people[person] for seat, person in seats.items())


@given(
    st.lists(st.sampled_from(ROLES[:3]), min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.lists(st.sampled_from(ROLES[:3]))),
)
def test_as_many_seats_as_possible_are_filled(roles: list[str], people: dict[str, list[str]]) -> None:
    assert len(seats_filled(roles, people)) == by_trying_everything(roles, people)


@given(needed, held)
def test_the_order_of_saying_yes_does_not_matter(roles: list[str], people: dict[str, list[str]]) -> None:
    backwards = dict(reversed(list(people.items())))
    assert seats_filled(roles, people) == seats_filled(roles, backwards)
