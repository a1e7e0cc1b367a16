"""What --help of scratchgrad-train says of the recipes that come with it."""

from __future__ import annotations

import click

from scratchgrad.train.recipe_files import what_recipes_are


class ListsRecipes(click.Command):
    """A command whose help ends with the packaged recipes."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Packaged recipes"):
            formatter.write_dl(list(what_recipes_are().items()))
        super().format_epilog(ctx, formatter)
