"""SCIM's own forms, and what of them we keep. The only importer of scim2_models; knows requests and answers, never a database.

Of a person we keep what is needed to know them: user name, names, addresses, whether they may act. What RFC 7643 defines beside
that (telephones, postal addresses, passwords, the enterprise extension) is accepted, since identity providers send it, and not
kept; what no RFC defines is refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias, Union

from pydantic import Field, ValidationError
from scim2_models import (
    AuthenticationScheme,
    Bulk,
    CaseExact,
    ChangePassword,
    ComplexAttribute,
    Context,
    EnterpriseUser,
    Error,
    ETag,
    Filter,
    ListResponse,
    Meta,
    Mutability,
    Patch,
    PatchOp,
    Required,
    Resource,
    SCIMException,
    ScimPolicy,
    ScimProvider,
    SearchRequest,
    ServiceProviderConfig,
    Sort,
    Uniqueness,
)
from scim2_models import Group as WholeGroup
from scim2_models import User as WholeUser
from scim2_models.reference import Reference
from scim2_models.resources.user import Email, GroupMembership, Name
from scim2_models.urn import URN

from jurat.app.directory import Entry
from jurat.core.clock import from_ns
from jurat.core.errors import Conflict, JuratError, Malformed
from jurat.core.ids import made_at_ns
from jurat.domain import rows
from jurat.domain.commands_people import Details

MEDIA_TYPE: Final = "application/scim+json"
MOST_RESULTS: Final = 200
_CORE_USER: Final = "urn:ietf:params:scim:schemas:core:2.0:User"
_SCIM_TYPES: Final = {"uniqueness": "uniqueness", "cyclic_group": "invalidValue"}
_MOST_NAME: Final = 256


class User(Resource[Any]):
    """A person."""

    __schema__ = URN(_CORE_USER)
    user_name: Annotated[str | None, Uniqueness.server, Required.true] = None
    """By what the identity provider calls them; one person's, in whatever case."""
    name: Name | None = None
    """The parts of their name."""
    display_name: str | None = None
    """What they are called here."""
    active: bool | None = None
    """Whether they may act. False ends everything that they have, at once."""
    emails: list[Email] | None = None
    """Their addresses; the primary one, or else the first, is where they are written to."""
    groups: Annotated[list[GroupMembership] | None, Mutability.read_only] = None
    """The groups they are in, by whatever way."""


_PersonOrGroup: TypeAlias = Reference[Union["User", "Group"]]  # by name, as a published schema says it


class Member(ComplexAttribute):
    """Somebody in a group, or another group."""

    value: Annotated[str | None, Mutability.immutable, CaseExact.true] = None
    """The id of a person or a group of this directory."""
    ref: Annotated[_PersonOrGroup | None, Mutability.immutable] = Field(None, serialization_alias="$ref", validation_alias="$ref")
    """Where it lies."""
    type: Annotated[str | None, Mutability.immutable] = Field(None, examples=["User", "Group"])
    """Which of the two it is."""


class Group(Resource[Any]):
    """A group. Which roles its members hold, a table says (`jurat directory show`); no group is in itself."""

    __schema__ = URN("urn:ietf:params:scim:schemas:core:2.0:Group")
    display_name: Annotated[str | None, Required.true] = None
    """What it is called; the table of roles goes by this name."""
    members: list[Member] | None = None
    """The people and groups in it."""


_KEPT: Final = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)
_WHOLE: Final = ScimPolicy(remove_value_as_filter=ScimPolicy.RemoveValue.apply, unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create)
_Whole: Final = WholeUser[EnterpriseUser]

CONFIG: Final = ServiceProviderConfig(
    patch=Patch(supported=True),
    bulk=Bulk(supported=False, max_operations=0, max_payload_size=0),
    filter=Filter(supported=True, max_results=MOST_RESULTS),
    change_password=ChangePassword(supported=False),
    sort=Sort(supported=True),
    etag=ETag(supported=True),
    authentication_schemes=[
        AuthenticationScheme(
            type=AuthenticationScheme.Type.oauthbearertoken,
            name="Bearer token",
            description="an access token of a service that holds the role provisioner",
            primary=True,
        )
    ],
)
PROVIDER: Final = ScimProvider(models=[User, Group], config=CONFIG, policy=_KEPT)


def read_user(payload: Any, *, replaces: User | None = None) -> User:
    """Return a person as they were sent; for a replacement, with what cannot be written taken from the original."""
    context = Context.RESOURCE_CREATION_REQUEST if replaces is None else Context.RESOURCE_REPLACEMENT_REQUEST
    _Whole.model_validate(payload, scim_ctx=context, scim_policy=_WHOLE)  # unknown attributes are refused here, by name
    user = User.model_validate(payload, scim_ctx=context, scim_policy=_KEPT)
    if replaces is not None:
        user.replace(replaces)
    return user


def read_group(payload: Any, *, replaces: Group | None = None) -> Group:
    """Return a group as it was sent."""
    context = Context.RESOURCE_CREATION_REQUEST if replaces is None else Context.RESOURCE_REPLACEMENT_REQUEST
    WholeGroup.model_validate(payload, scim_ctx=context, scim_policy=_WHOLE)
    group = Group.model_validate(payload, scim_ctx=context, scim_policy=_KEPT)
    if replaces is not None:
        group.replace(replaces)
    return group


def patch_user(payload: Any, user: User) -> None:
    """Make the changes of a PATCH; all of them, or none."""
    PatchOp[_Whole].model_validate(payload, scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=_WHOLE)  # type: ignore[valid-type]
    change = PatchOp[User].model_validate(payload, scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=_KEPT)
    change.patch(user, scim_policy=_KEPT)


def patch_group(payload: Any, group: Group) -> None:
    """Make the changes of a PATCH; all of them, or none."""
    PatchOp[WholeGroup].model_validate(payload, scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=_WHOLE)
    change = PatchOp[Group].model_validate(payload, scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=_KEPT)
    change.patch(group, scim_policy=_KEPT)


def details_of(user: User) -> Details:
    """Return what goes to the vault.

    Raises:
        Malformed: no user name, or one that is too long.
    """
    user_name = (user.user_name or "").strip()
    if not user_name or len(user_name) > _MOST_NAME:
        raise Malformed(f"a person needs a `userName` of at most {_MOST_NAME} characters", hint="send one")
    emails = [str(each.value) for each in user.emails or [] if each.value]
    primary = next((str(each.value) for each in user.emails or [] if each.primary and each.value), emails[0] if emails else "")
    parts = user.name
    spelled = " ".join(filter(None, (parts.given_name, parts.family_name))) if parts else ""
    shown = user.display_name or (parts.formatted if parts else "") or spelled or user_name
    document = user.model_dump(exclude={"schemas", "id", "meta", "groups", "active"})
    if user.active is not None:
        document["active"] = True  # that it was said; what holds is in the row
    return Details(
        user_name=user_name, name=shown[:_MOST_NAME], email=primary, emails=emails, external_id=user.external_id or "", document=document
    )


def members_of(group: Group) -> list[str]:
    """Return the ids of a group's members."""
    return [each.value for each in group.members or [] if each.value]


def show_user(entry: Entry, base: str) -> User:
    """Return a person as the directory sees them."""
    account, row = entry.account, entry.row
    user = User.model_validate({**account.document, "schemas": [_CORE_USER]}, scim_policy=_KEPT)
    user.id, user.active = row.principal, user.active if row.active else False
    user.groups = [_membership(each, row.principal, base) for each in entry.groups] or None
    user.meta = Meta(
        resource_type="User", created=account.created_at, last_modified=account.changed_at, location=f"{base}/Users/{row.principal}",
        version=version_of(row),
    )  # fmt: skip
    return user


def show_group(row: rows.Group, base: str) -> Group:
    """Return a group, with what its members are called."""
    group = Group(id=row.group, external_id=row.external_id or None, display_name=row.name)
    group.members = [
        *(_member(each, "User", base) for each in row.people),
        *(_member(each, "Group", base) for each in row.groups),
    ] or None
    group.meta = Meta(
        resource_type="Group", created=from_ns(made_at_ns(row.group)), last_modified=from_ns(made_at_ns(row.as_of)),
        location=f"{base}/Groups/{row.group}", version=version_of(row),
    )  # fmt: skip
    return group


def _membership(group: rows.Group, principal: str, base: str) -> GroupMembership:
    ref, how = Reference[Any](f"{base}/Groups/{group.group}"), "direct" if principal in group.people else "indirect"
    return GroupMembership(value=group.group, ref=ref, display=group.name, type=how)


def _member(each: str, kind: str, base: str) -> Member:
    return Member(value=each, ref=Reference[Any](f"{base}/{kind}s/{each}"), type=kind)


def version_of(row: rows.Row) -> str:
    """Return the entity tag: the event that made the row what it is."""
    return f'W/"{row.as_of}"'


def asked_for(query: dict[str, Any], model: Any) -> SearchRequest[Any]:
    """Return what a query asks for."""
    found: SearchRequest[Any] = SearchRequest[model].model_validate(query)
    return found


def page_of(found: list[Any], total: int, request: SearchRequest[Any], model: Any) -> dict[str, Any]:
    """Return one page as it is sent."""
    answer = ListResponse[model](total_results=total, start_index=request.start_index or 1, items_per_page=len(found), resources=found)
    found_page: dict[str, Any] = answer.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=request)
    return found_page


def dump(resource: Resource[Any], request: SearchRequest[Any] | None = None) -> dict[str, Any]:
    """Return one resource as it is sent."""
    return resource.model_dump(scim_ctx=Context.RESOURCE_QUERY_RESPONSE, response_parameters=request)


def place(resource: Resource[Any], kind: str, location: str) -> None:
    """Say of a resource what it is and where it lies."""
    resource.meta = Meta(resource_type=kind, location=location)


def refused(status: int, detail: str) -> SCIMException:
    """Return a refusal for which HTTP has a number and our families have not."""
    return SCIMException.from_error(Error(status=status, detail=detail))


def error_document(error: Exception) -> tuple[int, dict[str, Any]] | None:
    """Return an error as SCIM says it, with its status; None if it is a fault of ours."""
    if isinstance(error, ValidationError):
        found = Error.from_validation_errors(error)[0]
        return int(found.status or 400), found.model_dump()
    if isinstance(error, SCIMException):
        return error.status, error.to_error().model_dump()
    if isinstance(error, JuratError):
        status = 412 if isinstance(error, Conflict) and error.code == "version_differs" else error.http_status
        scim_type = _SCIM_TYPES.get(error.code) or ("invalidValue" if isinstance(error, Malformed) else None)
        detail = error.detail + (f" ({error.hint})" if error.hint else "")
        return status, Error(status=status, scim_type=scim_type, detail=detail).model_dump()
    return None
