"""Commands that add projects, users and environments to access.yaml."""

from typing import Annotated

import typer

from flowpin_cli.commands.options import AccessFileOption, ChangedData, access_file_of, problems_told


def add_project(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    org: Annotated[
        str | None, typer.Option(metavar="NAME|ID", help="Its org. Optional when there is only one.")
    ] = None,
    environment: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Repeatable, in promotion order. Default: production."),
    ] = None,
    data: ChangedData = None,
    access_file: AccessFileOption = None,
) -> None:
    """Add a project and print its id.

    Example: `flowpin project add shop --environment staging --environment production`
    """
    from flowpin_cli import declarations

    with problems_told():
        declarations.add_project(access_file_of(data, access_file), name, org, environment or [])


def list_projects(data: ChangedData = None, access_file: AccessFileOption = None) -> None:
    """List the projects.

    Example: `flowpin project list`
    """
    from flowpin_cli import declarations

    with problems_told():
        declarations.show_projects(access_file_of(data, access_file))


def add_user(
    email: Annotated[str, typer.Argument(metavar="EMAIL")],
    first_name: Annotated[str, typer.Option(metavar="NAME")] = "",
    last_name: Annotated[str, typer.Option(metavar="NAME")] = "",
    data: ChangedData = None,
    access_file: AccessFileOption = None,
) -> None:
    """Add a person and print the id. A person's rights come with tokens: `flowpin token new`.

    Example: `flowpin user add ann@example.org --first-name Ann --last-name Lee`
    """
    from flowpin_cli import declarations

    with problems_told():
        declarations.add_user(access_file_of(data, access_file), email, first_name, last_name)


def list_users(data: ChangedData = None, access_file: AccessFileOption = None) -> None:
    """List people and service accounts.

    Example: `flowpin user list`
    """
    from flowpin_cli import declarations

    with problems_told():
        declarations.show_users(access_file_of(data, access_file))


def add_environment(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    project: Annotated[str, typer.Option(metavar="NAME|ID", help="The project.")],
    before: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The environment that follows it in promotion order. Default: the last one."),
    ] = None,
    data: ChangedData = None,
    access_file: AccessFileOption = None,
) -> None:
    """Add an environment to a project and print all in promotion order. The last one stays the default.

    Example: `flowpin environment add staging --project shop`
    """
    from flowpin_cli import declarations

    with problems_told():
        declarations.add_environment(access_file_of(data, access_file), project, name, before)
