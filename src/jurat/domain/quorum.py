"""How many different people really said yes. People are counted, never roles, groups or accounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def seats_filled(needed_roles: Sequence[str], held: Mapping[str, Iterable[str]]) -> dict[int, str]:
    """Return which seat (its index in `needed_roles`) is filled by which person, filling as many as possible.

    One person fills one seat, however many roles they hold. This is a maximum bipartite matching (augmenting paths,
    Kuhn 1955), so the order in which people said yes never matters.

    Args:
        needed_roles: one role per seat; the same role twice means two people who hold it.
        held: person → the roles with which they said yes.

    Example:
        >>> seats_filled(["ml_lead", "product_owner"], {"prn_a": ["ml_lead", "product_owner"]})
        {0: 'prn_a'}
    """
    roles_of = {person: frozenset(roles) for person, roles in held.items()}
    seats: dict[int, str] = {}

    def seat_someone(seat: int, tried: set[str]) -> bool:
        for person in sorted(roles_of):
            if needed_roles[seat] not in roles_of[person] or person in tried:
                continue
            tried.add(person)
            taken = next((other for other, sitting in seats.items() if sitting == person), None)
            if taken is None or seat_someone(taken, tried):
                seats[seat] = person
                return True
        return False

    for seat in range(len(needed_roles)):
        seat_someone(seat, set())
    return dict(sorted(seats.items()))
