"""`flowpin token …`."""

from typing import Annotated

import typer

from flowpin_cli.commands.options import MARKUP, AccessFileOption, ChangedData, access_file_of, problems_told

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=MARKUP,
    help="Create, list and revoke Personal Access Tokens.\n\n"
    "The access file has only their hashes. A change takes effect within two seconds, without a restart.",
)


@app.command("new")
def token_new(
    role: Annotated[
        str | None, typer.Option(help="viewer reads; editor also saves and deploys; admin also deletes.")
    ] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="Also allow adding and changing runtimes of the installation.")
    ] = False,
    user: Annotated[str | None, typer.Option(metavar="ID|EMAIL", help="The owner.")] = None,
    service: Annotated[
        str | None, typer.Option(metavar="NAME", help="A service account as the owner. It is created if needed.")
    ] = None,
    project: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="The project of the role. Repeatable.")
    ] = None,
    org: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="The org of the role, with all of its projects. Repeatable.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="How long the token is valid: 90m, 12h, 30d, 8w.")
    ] = None,
    data: ChangedData = None,
    access_file: AccessFileOption = None,
) -> None:
    """Create a token and print it. It is shown only once.

    Example: `flowpin token new --user ann@example.org --project 0198… --role editor --expires 30d`
    """
    from flowpin_cli.tokens import new

    with problems_told():
        new(
            access_file_of(data, access_file),
            user,
            service,
            project or [],
            org or [],
            role,
            expires,
            is_operator=operator,
        )


@app.command("list")
def token_list(data: ChangedData = None, access_file: AccessFileOption = None) -> None:
    """List all tokens, including revoked and expired ones.

    Example: `flowpin token list`
    """
    from flowpin_cli.tokens import show

    with problems_told():
        show(access_file_of(data, access_file))


@app.command("revoke")
def token_revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The token's id in `flowpin token list`: tok_…")],
    data: ChangedData = None,
    access_file: AccessFileOption = None,
) -> None:
    """Revoke a token. Every process refuses it within two seconds. It stays in the list.

    Example: `flowpin token revoke tok_4f1c2a9b7e`
    """
    from flowpin_cli.tokens import revoke

    with problems_told():
        revoke(access_file_of(data, access_file), token_id)
